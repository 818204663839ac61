"""Agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.agent import Agent as Agent

HOMES = {
    "Agent": "agents.core.agent",
}

__all__ = [
    "Agent",
]

__getattr__, __dir__ = door(__name__, HOMES)
