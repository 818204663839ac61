"""Where the vectors of texts are kept and searched. A store is a module here and one line in `STORES`."""

from __future__ import annotations

STORES = {
    "chroma": "memory.core.vector_stores.chroma:ChromaVectorStore",
    "faiss": "memory.core.vector_stores.faiss:FAISSVectorStore",
    "inmemory": "memory.core.vector_stores.in_memory:InMemoryVectorStore",
    "postgres": "memory.core.vector_stores.postgres:PostgresVectorStore",
}
