"""What an MCP server says about a tool, turned into what a model and a policy read."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from loom.ids import deterministic_hash
from loom.messages import Effect, ToolDef

_NAME = re.compile(r"[A-Za-z0-9_.\-/]{1,128}")
_MAX_DESCRIPTION = 4_096
_MAX_SCHEMA_BYTES = 65_536
_KEPT_CONTROLS = "\n\t"


def effect_of(tool: Any) -> tuple[Effect, bool]:
    """The effect class of a tool and whether it is destructive, from its annotations.

    A tool that promises nothing is irreversible: a server does not know our idempotency keys, so an interrupted call
    must not be repeated blindly.
    """
    hints = field(tool, "annotations")
    destructive = field(hints, "destructive_hint", "destructiveHint") is True
    if field(hints, "read_only_hint", "readOnlyHint") is True:
        return "read", False
    if field(hints, "idempotent_hint", "idempotentHint") is True:
        return "idempotent", destructive
    return "irreversible", destructive


def digest_of(tool: Any) -> str:
    """SHA-256 (hex) of everything that a model or a policy decides by: name, description, schema, annotations."""
    hints = field(tool, "annotations")
    return deterministic_hash(
        tool.name,
        field(tool, "description"),
        _schema(tool),
        [field(hints, *names) for names in _HINTS],
    )


def definition_of(tool: Any, *, name: str, server: str) -> ToolDef:
    """The tool as a model sees it, under `name`: invisible and control characters are taken out of all its texts."""
    effect, destructive = effect_of(tool)
    description = visible(field(tool, "description") or "")
    if len(description) > _MAX_DESCRIPTION:
        description = description[:_MAX_DESCRIPTION] + " …"
    return ToolDef(
        name=name,
        description=description,
        input_schema=_visible_values(_schema(tool)),
        server=server,
        destructive=destructive,
        effect=effect,
    )


def objection_to(tool: Any) -> str | None:
    """Why a tool is not offered at all, or None."""
    if not _NAME.fullmatch(tool.name):
        return "its name has characters that tool names do not have, or more than 128 of them"
    if len(str(_schema(tool))) > _MAX_SCHEMA_BYTES:
        return f"its schema is larger than {_MAX_SCHEMA_BYTES} bytes"
    return None


def visible(text: str) -> str:
    """The text without what a person would not see: controls, direction marks, zero-width and tag characters."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char for char in text if char in _KEPT_CONTROLS or _is_visible(char))


def field(value: Any, *names: str) -> Any:
    """The first of these attributes that is there: MCP objects of both SDK generations have been seen."""
    for name in names:
        found = getattr(value, name, None)
        if found is not None:
            return found
    return None


_HINTS = (
    ("read_only_hint", "readOnlyHint"),
    ("idempotent_hint", "idempotentHint"),
    ("destructive_hint", "destructiveHint"),
    ("open_world_hint", "openWorldHint"),
)


def _schema(tool: Any) -> dict[str, Any]:
    return field(tool, "input_schema", "inputSchema") or {"type": "object", "properties": {}}


def _is_visible(char: str) -> bool:
    # Cc, Cf, Cs, Co, Cn: control, format, surrogate, private, unassigned; variation selectors can carry hidden bytes.
    return unicodedata.category(char)[0] != "C" and not "\U000e0100" <= char <= "\U000e01ef"


def _visible_values(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {key: _visible_values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_visible_values(item) for item in value]
    return value
