"""What a vector store is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.vector_stores.base import SearchResult as SearchResult
    from memory.core.vector_stores.base import VectorStore as VectorStore

HOMES = {
    "SearchResult": "memory.core.vector_stores.base",
    "VectorStore": "memory.core.vector_stores.base",
}

__all__ = [
    "SearchResult",
    "VectorStore",
]

__getattr__, __dir__ = door(__name__, HOMES)
