"""Memory in Chroma."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.backends.chroma.memory import ChromaMemory as ChromaMemory

HOMES = {
    "ChromaMemory": "memory.core.backends.chroma.memory",
}

__all__ = [
    "ChromaMemory",
]

__getattr__, __dir__ = door(__name__, HOMES)
