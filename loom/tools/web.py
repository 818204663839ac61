"""Searching the web."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.tools.builtin import web_tool as web_tool

HOMES = {
    "web_tool": "agents.core.tools.builtin",
}

__all__ = [
    "web_tool",
]

__getattr__, __dir__ = door(__name__, HOMES)
