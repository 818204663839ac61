"""The chunks of a store in this process and their vectors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from sys import maxsize
from threading import Lock

import numpy as np

from memory.core.lexical import LexicalIndex
from memory.core.loaders.base import Chunk
from memory.core.vector_stores.ranking import Floats

Row = tuple[str, Chunk]


class Rows:
    """Chunks in the order in which they came, and their vectors as (n, d) float32 of unit length.

    Rows are only ever added: without some of them it is another `Rows`. So a search that holds these, on whichever
    thread, sees the first `len()` of them unchanged.
    """

    def __init__(self, dimensions: int) -> None:
        self.rows: list[Row] = []
        self.places: dict[str, int] = {}
        self._vectors: Floats = np.empty((0, dimensions), dtype=np.float32)
        self._words = LexicalIndex()
        self._turn = Lock()

    def __len__(self) -> int:
        return len(self.rows)

    def vectors(self) -> Floats:
        return self._vectors[: len(self.rows)]

    def add(self, rows: Sequence[Row], vectors: Floats) -> None:
        """Add rows whose ids are new."""
        end = len(self.rows) + len(rows)
        if end > len(self._vectors):
            room = np.empty((max(end, 2 * len(self.rows)), vectors.shape[1]), dtype=np.float32)
            room[: len(self.rows)] = self.vectors()
            self._vectors = room
        self._vectors[len(self.rows) : end] = vectors
        for row in rows:
            self.places[row[0]] = len(self.rows)
            self.rows.append(row)

    def without(self, ids: Collection[str]) -> Rows:
        left = Rows(self._vectors.shape[1])
        kept = [place for place, (row_id, _) in enumerate(self.rows) if row_id not in ids]
        left.add([self.rows[place] for place in kept], self.vectors()[kept])
        return left

    def by_words(self, query: str, keep: Callable[[int], bool] | None) -> dict[int, float]:
        """Place → BM25 score of the chunks that share a word with the query."""
        with self._turn:
            for _, chunk in self.rows[len(self._words) :]:
                self._words.add(chunk.content)
            return self._words.scores(query, maxsize, keep=keep)


def unit(vectors: Sequence[Sequence[float]], dimensions: int, *, of: str) -> Floats:
    """Vectors as (n, d) float32 of length one. Raises ValueError for what is no vector of that many numbers."""
    wrong = next((len(vector) for vector in vectors if len(vector) != dimensions), None)
    if wrong is not None:
        raise ValueError(f"a vector of {of} has {wrong} dimensions; this store keeps {dimensions}")
    array = np.asarray(vectors, dtype=np.float64).reshape(-1, dimensions)
    if not np.isfinite(array).all():
        raise ValueError(f"a vector of {of} holds a number that is not finite")
    lengths = np.linalg.norm(array, axis=1, keepdims=True)
    return np.asarray(array / np.where(lengths > 0, lengths, 1), dtype=np.float32)
