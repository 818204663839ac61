"""Memory in this process, found by vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.backends.vector import VectorMemory as VectorMemory

HOMES = {
    "VectorMemory": "memory.core.backends.vector",
}

__all__ = [
    "VectorMemory",
]

__getattr__, __dir__ = door(__name__, HOMES)
