"""Vectors in this process: exact search over a NumPy array, with nothing to install or to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import numpy as np

from memory.core.loaders.base import Chunk
from memory.core.protocol import Embedder
from memory.core.vector_stores import files
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
from memory.core.vector_stores.ranking import Floats, best, diverse, fused
from memory.core.vector_stores.rows import Row, Rows, unit

T = TypeVar("T")

_QUICK = 1_000  # so many rows are searched at once; more of them on a thread, so that the event loop goes on


class InMemoryVectorStore:
    """Chunks of one process, searched by cosine similarity, by words, or by both.

    A score of `search` and `search_by_vector` is the cosine, from -1 to 1. It means what the embedder's vectors mean.
    Every search looks at every chunk. All of it is gone with the process unless it is saved.
    """

    name = "in-memory"

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = checked_embedder(embedder)
        self._rows = Rows(embedder.dimensions)

    @property
    def embedder(self) -> Embedder:
        return self._embedder

    @classmethod
    async def from_chunks(
        cls, chunks: list[Chunk], *, embedder: Embedder, ids: list[str] | None = None
    ) -> InMemoryVectorStore:
        store = cls(embedder)
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
    ) -> InMemoryVectorStore:
        return await cls.from_chunks(chunks_of(texts, metadatas), embedder=embedder, ids=ids)

    async def add(self, chunks: list[Chunk], ids: list[str] | None = None) -> list[str]:
        """Embed all chunks in one call, then store them: when the embedder fails, none is stored."""
        ids = named(chunks, ids)
        if not chunks:
            return []
        rows, vectors = await embedded(chunks, ids, self._embedder)
        await self.delete(ids)
        self._rows.add(rows, vectors)
        return ids

    async def delete(self, ids: list[str]) -> None:
        if any(chunk_id in self._rows.places for chunk_id in ids):
            self._rows = self._rows.without(set(ids))

    async def get_by_ids(self, ids: list[str]) -> list[Chunk]:
        rows = self._rows
        return [rows.rows[rows.places[chunk_id]][1] for chunk_id in ids if chunk_id in rows.places]

    async def count(self) -> int:
        return len(self._rows)

    async def search(
        self, query: str, *, k: int = 4, filter: Filter = None, diversity: float | None = None
    ) -> list[SearchResult]:
        fits, diversity = read(filter), checked_diversity(diversity)
        if not len(self._rows) or k < 1:
            return []
        return await self._nearest(await self._embedder.embed(query), k, fits, diversity)

    async def search_by_vector(
        self, vector: list[float], *, k: int = 4, filter: Filter = None, diversity: float | None = None
    ) -> list[SearchResult]:
        return await self._nearest(vector, k, read(filter), checked_diversity(diversity))

    async def search_hybrid(
        self, query: str, *, k: int = 4, filter: Filter = None, alpha: float = 0.5
    ) -> list[SearchResult]:
        """By words (BM25) and by vectors, fused by rank. `alpha`: 0 is words only, 1 is vectors only.

        The scores are those of the fusion, at most 1/61: they order the results of one search and say nothing more.
        With words only, chunks that share none with the query are not found; the embedder is not called.
        """
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha is between 0 (words) and 1 (vectors), not {alpha}")
        fits = read(filter)
        vector = await self._embedder.embed(query) if alpha > 0 and len(self._rows) else None
        rows, count = self._rows, len(self._rows)

        def found() -> list[SearchResult]:
            places = _fitting(rows, count, fits)
            kept = set(places)
            words = rows.by_words(query, kept.__contains__) if alpha < 1 else {}
            by_words = sorted(words, key=lambda place: (-words[place], place))
            near = [] if vector is None else best(self._scores(rows, places, vector), count)
            by_vector = [places[place] for place in near]
            both = fused([(alpha, by_vector), (1 - alpha, by_words)])
            chosen = sorted(both, key=lambda place: (-both[place], place))[: max(k, 0)]
            return [_result(rows.rows[place], both[place]) for place in chosen]

        return await _computed(found, count)

    async def save(self, path: str | Path) -> None:
        """Write everything into a JSON file. It is replaced as a whole: a crash leaves the old one."""
        rows, count = self._rows, len(self._rows)
        await anyio.to_thread.run_sync(
            lambda: files.write(Path(path), rows.rows[:count], rows.vectors()[:count], self._embedder.dimensions)
        )

    @classmethod
    async def load(cls, path: str | Path, *, embedder: Embedder) -> InMemoryVectorStore:
        """The store that was saved. Raises ValueError for a file of another version or other dimensions."""
        store = cls(embedder)
        rows, vectors = await anyio.to_thread.run_sync(lambda: files.read(Path(path), embedder.dimensions))
        store._rows.add(rows, unit(vectors, embedder.dimensions, of=str(path)))
        return store

    async def _nearest(
        self, vector: Sequence[float], k: int, fits: Test | None, diversity: float
    ) -> list[SearchResult]:
        rows, count = self._rows, len(self._rows)

        def found() -> list[SearchResult]:
            places = _fitting(rows, count, fits)
            scores = self._scores(rows, places, vector)
            if diversity:
                pool = best(scores, max(4 * k, 20))
                vectors = rows.vectors()[[places[place] for place in pool]]
                chosen = [pool[place] for place in diverse(vectors, scores[pool], count=k, diversity=diversity)]
            else:
                chosen = best(scores, max(k, 0))
            return [_result(rows.rows[places[place]], float(scores[place])) for place in chosen]

        return await _computed(found, count)

    def _scores(self, rows: Rows, places: Sequence[int], vector: Sequence[float]) -> Floats:
        (query,) = unit([vector], self._embedder.dimensions, of="the query")
        vectors = rows.vectors()
        chosen = vectors[: len(places)] if isinstance(places, range) else vectors[list(places)]
        scores: Floats = np.clip(chosen @ query, -1, 1)
        return scores


def _fitting(rows: Rows, count: int, fits: Test | None) -> Sequence[int]:
    if fits is None:
        return range(count)
    return [place for place, (_, chunk) in enumerate(rows.rows[:count]) if fits(chunk.metadata)]


def _result(row: Row, score: float) -> SearchResult:
    return SearchResult(chunk=row[1], score=score, id=row[0])


async def _computed(work: Callable[[], T], count: int) -> T:
    return work() if count <= _QUICK else await anyio.to_thread.run_sync(work)
