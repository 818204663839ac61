"""The tool that loads skills."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.skills.tools import make_load_skill_tool as make_load_skill_tool

HOMES = {
    "make_load_skill_tool": "agents.core.skills.tools",
}

__all__ = [
    "make_load_skill_tool",
]

__getattr__, __dir__ = door(__name__, HOMES)
