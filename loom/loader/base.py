"""What is loaded, and what it is cut into."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.loaders.base import Chunk as Chunk
    from memory.core.loaders.base import Document as Document

HOMES = {
    "Chunk": "memory.core.loaders.base",
    "Document": "memory.core.loaders.base",
}

__all__ = [
    "Chunk",
    "Document",
]

__getattr__, __dir__ = door(__name__, HOMES)
