"""What agents remember."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.auto_extract import AutoExtractMemory as AutoExtractMemory
    from memory.core.backends.chroma.facts import ChromaFactStore as ChromaFactStore
    from memory.core.backends.chroma.memory import ChromaMemory as ChromaMemory
    from memory.core.backends.in_memory import InMemoryMemory as InMemoryMemory
    from memory.core.backends.postgres.facts import PostgresFactStore as PostgresFactStore
    from memory.core.backends.postgres.memory import PostgresMemory as PostgresMemory
    from memory.core.backends.redis.facts import RedisFactStore as RedisFactStore
    from memory.core.backends.redis.memory import RedisMemory as RedisMemory
    from memory.core.backends.sqlite.facts import SqliteFactStore as SqliteFactStore
    from memory.core.backends.sqlite.memory import SqliteMemory as SqliteMemory
    from memory.core.backends.vector import VectorMemory as VectorMemory
    from memory.core.consolidator import ConsolidationWorker as ConsolidationWorker
    from memory.core.consolidator import Consolidator as Consolidator
    from memory.core.embedders import CohereEmbedder as CohereEmbedder
    from memory.core.embedders import HashEmbedder as HashEmbedder
    from memory.core.embedders import OpenAIEmbedder as OpenAIEmbedder
    from memory.core.embedders import VoyageEmbedder as VoyageEmbedder
    from memory.core.facts import InMemoryFactStore as InMemoryFactStore
    from memory.core.lazy import LazyMemory as LazyMemory
    from memory.core.protocol import Embedder as Embedder
    from memory.core.protocol import FactStore as FactStore
    from memory.core.protocol import Memory as Memory
    from memory.core.recall import default_recall_scored as default_recall_scored
    from memory.core.resolver import resolve_memory as resolve_memory

HOMES = {
    "AutoExtractMemory": "memory.core.auto_extract",
    "ChromaFactStore": "memory.core.backends.chroma.facts",
    "ChromaMemory": "memory.core.backends.chroma.memory",
    "CohereEmbedder": "memory.core.embedders",
    "ConsolidationWorker": "memory.core.consolidator",
    "Consolidator": "memory.core.consolidator",
    "Embedder": "memory.core.protocol",
    "FactStore": "memory.core.protocol",
    "HashEmbedder": "memory.core.embedders",
    "InMemoryFactStore": "memory.core.facts",
    "InMemoryMemory": "memory.core.backends.in_memory",
    "LazyMemory": "memory.core.lazy",
    "Memory": "memory.core.protocol",
    "OpenAIEmbedder": "memory.core.embedders",
    "PostgresFactStore": "memory.core.backends.postgres.facts",
    "PostgresMemory": "memory.core.backends.postgres.memory",
    "RedisFactStore": "memory.core.backends.redis.facts",
    "RedisMemory": "memory.core.backends.redis.memory",
    "SqliteFactStore": "memory.core.backends.sqlite.facts",
    "SqliteMemory": "memory.core.backends.sqlite.memory",
    "VectorMemory": "memory.core.backends.vector",
    "VoyageEmbedder": "memory.core.embedders",
    "default_recall_scored": "memory.core.recall",
    "resolve_memory": "memory.core.resolver",
}

__all__ = [
    "AutoExtractMemory",
    "ChromaFactStore",
    "ChromaMemory",
    "CohereEmbedder",
    "ConsolidationWorker",
    "Consolidator",
    "Embedder",
    "FactStore",
    "HashEmbedder",
    "InMemoryFactStore",
    "InMemoryMemory",
    "LazyMemory",
    "Memory",
    "OpenAIEmbedder",
    "PostgresFactStore",
    "PostgresMemory",
    "RedisFactStore",
    "RedisMemory",
    "SqliteFactStore",
    "SqliteMemory",
    "VectorMemory",
    "VoyageEmbedder",
    "default_recall_scored",
    "resolve_memory",
]

__getattr__, __dir__ = door(__name__, HOMES)
