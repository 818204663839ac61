"""An architecture from its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.architectures.resolver import resolve_architecture as resolve_architecture

HOMES = {
    "resolve_architecture": "agents.core.architectures.resolver",
}

__all__ = [
    "resolve_architecture",
]

__getattr__, __dir__ = door(__name__, HOMES)
