"""Memory that ends with the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.backends.in_memory import InMemoryMemory as InMemoryMemory

HOMES = {
    "InMemoryMemory": "memory.core.backends.in_memory",
}

__all__ = [
    "InMemoryMemory",
]

__getattr__, __dir__ = door(__name__, HOMES)
