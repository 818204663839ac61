"""What every store does with what it is given, before it stores or searches anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from loom.ids import new_id
from memory.core.loaders.base import Chunk
from memory.core.protocol import Embedder
from memory.core.vector_stores.filters import Test, read_filter
from memory.core.vector_stores.ranking import Floats
from memory.core.vector_stores.rows import Row, unit

Filter = Mapping[str, Any] | None


def checked_embedder(embedder: Embedder) -> Embedder:
    if embedder is None:
        raise ValueError("a vector store needs an embedder")
    return embedder


def chunks_of(texts: Sequence[str], metadatas: Sequence[dict[str, Any]] | None) -> list[Chunk]:
    metadatas = [{} for _ in texts] if metadatas is None else metadatas
    if len(metadatas) != len(texts):
        raise ValueError(f"{len(texts)} texts and {len(metadatas)} metadatas: give one for each text")
    return [Chunk(text, metadata) for text, metadata in zip(texts, metadatas, strict=True)]


def named(chunks: Sequence[Chunk], ids: Sequence[str] | None) -> list[str]:
    """An id for each chunk."""
    if ids is None:
        return [new_id("chunk") for _ in chunks]
    if len(ids) != len(chunks):
        raise ValueError(f"{len(chunks)} chunks and {len(ids)} ids: give one for each chunk")
    return list(ids)


async def embedded(chunks: Sequence[Chunk], ids: Sequence[str], embedder: Embedder) -> tuple[list[Row], Floats]:
    """Rows and their vectors as (n, d) float32 of unit length: of an id that is there twice, the last.

    All chunks are embedded in one call. Their metadata are copied.
    """
    vectors = await embedder.embed_batch([chunk.content for chunk in chunks])
    if len(vectors) != len(chunks):
        raise ValueError(f"{embedder.name} gave {len(vectors)} vectors for {len(chunks)} texts")
    units = unit(vectors, embedder.dimensions, of=embedder.name)
    last = {chunk_id: place for place, chunk_id in enumerate(ids)}
    rows = [(chunk_id, Chunk(chunks[place].content, dict(chunks[place].metadata))) for chunk_id, place in last.items()]
    return rows, units[list(last.values())]


def read(filter: Filter) -> Test | None:
    return read_filter(filter) if filter is not None else None


def checked_diversity(diversity: float | None) -> float:
    if diversity is not None and not 0 <= diversity <= 1:
        raise ValueError(f"diversity is between 0 and 1, not {diversity}")
    return diversity or 0.0
