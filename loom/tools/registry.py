"""Tools and the host that runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.tools.host import InProcessToolHost as InProcessToolHost
    from agents.core.tools.tool import Tool as Tool
    from agents.core.tools.tool import tool as tool

HOMES = {
    "InProcessToolHost": "agents.core.tools.host",
    "Tool": "agents.core.tools.tool",
    "tool": "agents.core.tools.tool",
}

__all__ = [
    "InProcessToolHost",
    "Tool",
    "tool",
]

__getattr__, __dir__ = door(__name__, HOMES)
