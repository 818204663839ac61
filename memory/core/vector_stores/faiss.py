"""Vectors in this process in an index of FAISS: for so many chunks that looking at each of them takes too long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import Any, TypeVar

import anyio.to_thread
import numpy as np

from loom.errors import ConfigError
from memory.core.extras import imported
from memory.core.loaders.base import Chunk
from memory.core.protocol import Embedder
from memory.core.vector_stores.approximate import Hit, nearest
from memory.core.vector_stores.base import SearchResult
from memory.core.vector_stores.filters import Test
from memory.core.vector_stores.incoming import (
    Filter,
    checked_diversity,
    checked_embedder,
    chunks_of,
    embedded,
    named,
    read,
)
from memory.core.vector_stores.ranking import Floats
from memory.core.vector_stores.rows import Row, Rows, unit

METRICS = {"ip": "METRIC_INNER_PRODUCT", "l2": "METRIC_L2"}  # on unit vectors both give the order of the cosine
T = TypeVar("T")


class FAISSVectorStore:
    """Chunks of one process, found by an index of FAISS; `index_factory_string` is in FAISS's own language.

    A score is the cosine, from -1 to 1, computed from the vectors themselves, which are kept beside the index. A filter
    is applied to what the index finds, which is asked for more until enough fits. What is deleted stays in the index
    until it is half of it. An index that must be trained is trained with the first chunks. All of it is gone with the
    process.
    """

    name = "faiss"

    def __init__(
        self,
        embedder: Embedder,
        *,
        dimension: int | None = None,
        index_factory_string: str = "HNSW32",
        metric: str = "ip",
    ) -> None:
        self._embedder = checked_embedder(embedder)
        if dimension not in {None, embedder.dimensions}:
            raise ValueError(f"dimension is {dimension}; {embedder.name} makes vectors of {embedder.dimensions}")
        if metric not in METRICS:
            raise ValueError(f"no metric {metric!r}; one of {', '.join(METRICS)}")
        self._factory = (index_factory_string, metric)
        self._index = self._made()
        self._rows = Rows(embedder.dimensions)
        self._turn = Lock()

    @property
    def embedder(self) -> Embedder:
        return self._embedder

    @classmethod
    async def from_chunks(
        cls,
        chunks: list[Chunk],
        *,
        embedder: Embedder,
        ids: list[str] | None = None,
        dimension: int | None = None,
        index_factory_string: str = "HNSW32",
        metric: str = "ip",
    ) -> FAISSVectorStore:
        store = cls(embedder, dimension=dimension, index_factory_string=index_factory_string, metric=metric)
        await store.add(chunks, ids)
        return store

    @classmethod
    async def from_texts(
        cls,
        texts: list[str],
        *,
        embedder: Embedder,
        metadatas: list[dict[str, Any]] | None = None,
        ids: list[str] | None = None,
        dimension: int | None = None,
        index_factory_string: str = "HNSW32",
        metric: str = "ip",
    ) -> FAISSVectorStore:
        return await cls.from_chunks(
            chunks_of(texts, metadatas),
            embedder=embedder,
            ids=ids,
            dimension=dimension,
            index_factory_string=index_factory_string,
            metric=metric,
        )

    async def add(self, chunks: list[Chunk], ids: list[str] | None = None) -> list[str]:
        """Embed all chunks in one call, then store them: when the embedder fails, none is stored."""
        ids = named(chunks, ids)
        if not chunks:
            return []
        rows, vectors = await embedded(chunks, ids, self._embedder)
        await self._in_turn(lambda: self._add(rows, vectors))
        return ids

    async def delete(self, ids: list[str]) -> None:
        await self._in_turn(lambda: self._forget(ids))

    async def get_by_ids(self, ids: list[str]) -> list[Chunk]:
        rows = self._rows
        return [rows.rows[place][1] for place in (rows.places.get(chunk_id) for chunk_id in ids) if place is not None]

    async def count(self) -> int:
        return len(self._rows.places)

    async def search(
        self, query: str, *, k: int = 4, filter: Filter = None, diversity: float | None = None
    ) -> list[SearchResult]:
        fits, diversity = read(filter), checked_diversity(diversity)
        if not self._rows.places or k < 1:
            return []
        return await self._nearest(await self._embedder.embed(query), k, fits, diversity)

    async def search_by_vector(
        self, vector: list[float], *, k: int = 4, filter: Filter = None, diversity: float | None = None
    ) -> list[SearchResult]:
        return await self._nearest(vector, max(k, 0), read(filter), checked_diversity(diversity))

    async def _nearest(
        self, vector: Sequence[float], k: int, fits: Test | None, diversity: float
    ) -> list[SearchResult]:
        query = unit([vector], self._embedder.dimensions, of="the query")

        def found() -> list[SearchResult]:
            def ask(count: int) -> list[Hit]:
                _, places = self._index.search(query, count)
                return self._hits((int(place) for place in places[0] if place >= 0), query[0])

            def everything() -> list[Hit]:
                rows, places = self._rows.rows, self._rows.places.values()
                return self._hits((n for n in places if fits is None or fits(rows[n][1].metadata)), query[0])

            total = len(self._rows)
            return nearest(ask, everything, total=total, k=k, fits=fits, diversity=diversity)

        return await self._in_turn(found)

    def _hits(self, places: Iterable[int], query: Floats) -> list[Hit]:
        rows, vectors = self._rows, self._rows.vectors()
        living = [place for place in places if rows.places.get(rows.rows[place][0]) == place]
        scores = np.clip(vectors[living] @ query, -1, 1)
        return [
            Hit(*rows.rows[place], vector=vectors[place], score=float(score), order=place)
            for place, score in zip(living, scores, strict=True)
        ]

    def _add(self, rows: Sequence[Row], vectors: Floats) -> None:
        if not self._index.is_trained:
            self._train(vectors)
        self._forget([row_id for row_id, _ in rows])
        self._index.add(vectors)
        self._rows.add(rows, vectors)

    def _train(self, vectors: Floats) -> None:
        try:
            self._index.train(vectors)
        except RuntimeError as error:
            raise ValueError(
                f"{len(vectors)} chunks are too few to train an index {self._factory[0]!r} with: add more at first"
            ) from error

    def _forget(self, ids: Sequence[str]) -> None:
        rows = self._rows
        for chunk_id in ids:
            rows.places.pop(chunk_id, None)
        if 2 * len(rows.places) < len(rows):
            kept = sorted(rows.places.values())
            left, vectors = [rows.rows[place] for place in kept], rows.vectors()[kept]
            self._index.reset()
            self._index.add(vectors)
            self._rows = Rows(self._embedder.dimensions)
            self._rows.add(left, vectors)

    def _made(self) -> Any:
        faiss = imported("faiss", extra="faiss")
        factory, metric = self._factory
        try:
            return faiss.index_factory(self._embedder.dimensions, factory, getattr(faiss, METRICS[metric]))
        except RuntimeError as error:
            raise ConfigError(f"FAISS makes no index {factory!r} of {self._embedder.dimensions} dimensions") from error

    async def _in_turn(self, work: Callable[[], T]) -> T:
        """On a thread, one at a time: an index that is changed cannot be searched."""

        def done() -> T:
            with self._turn:
                return work()

        return await anyio.to_thread.run_sync(done)
