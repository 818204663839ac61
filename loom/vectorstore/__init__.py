"""Texts found by what they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.vector_stores.base import SearchResult as SearchResult
    from memory.core.vector_stores.base import VectorStore as VectorStore
    from memory.core.vector_stores.chroma import ChromaVectorStore as ChromaVectorStore
    from memory.core.vector_stores.faiss import FAISSVectorStore as FAISSVectorStore
    from memory.core.vector_stores.in_memory import InMemoryVectorStore as InMemoryVectorStore
    from memory.core.vector_stores.postgres import PostgresVectorStore as PostgresVectorStore

HOMES = {
    "ChromaVectorStore": "memory.core.vector_stores.chroma",
    "FAISSVectorStore": "memory.core.vector_stores.faiss",
    "InMemoryVectorStore": "memory.core.vector_stores.in_memory",
    "PostgresVectorStore": "memory.core.vector_stores.postgres",
    "SearchResult": "memory.core.vector_stores.base",
    "VectorStore": "memory.core.vector_stores.base",
}

__all__ = [
    "ChromaVectorStore",
    "FAISSVectorStore",
    "InMemoryVectorStore",
    "PostgresVectorStore",
    "SearchResult",
    "VectorStore",
]

__getattr__, __dir__ = door(__name__, HOMES)
