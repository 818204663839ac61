"""Tool names on the wire: the providers take letters, digits, `_` and `-`, and at most 64 of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from loom.messages import ToolDef

_ALLOWED = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_-]")


def wire_name(name: str) -> str:
    """The name as providers take it. Always the same for the same name, and different for different ones."""
    if _ALLOWED.fullmatch(name):
        return name
    return f"{_FORBIDDEN.sub('_', name)[:55]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def names_by_wire(tools: Iterable[ToolDef] | None) -> dict[str, str]:
    """Wire name → tool name, to read a model's calls with."""
    return {wire_name(tool.name): tool.name for tool in tools or ()}
