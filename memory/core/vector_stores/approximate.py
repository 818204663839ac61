"""Searching an index that knows neither filters nor the order of equals: it is asked for more until enough is right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from memory.core.loaders.base import Chunk
from memory.core.vector_stores.base import SearchResult
from memory.core.vector_stores.filters import Test
from memory.core.vector_stores.ranking import Floats, diverse

WIDER = 8  # so many candidates for each result that is wanted, and so many times more when they were not enough
_LEAST = 64


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk, its unit vector, its cosine to the query, and its place in the order in which chunks were added."""

    id: str
    chunk: Chunk
    vector: Floats
    score: float
    order: Any


def nearest(
    ask: Callable[[int], Sequence[Hit]],
    everything: Callable[[], Sequence[Hit]],
    *,
    total: int,
    k: int,
    fits: Test | None,
    diversity: float,
) -> list[SearchResult]:
    """The best `k` of `total` chunks that fit, the same ones as if every chunk was looked at.

    `ask(n)` gives about the n nearest; `everything()` is asked when so many are needed that nothing is saved.
    """
    if k < 1:
        return []
    need = max(4 * k, 20) if diversity else k
    hits = _widened(ask, everything, total, need, fits)
    if diversity and hits:
        vectors, scores = np.stack([hit.vector for hit in hits]), np.asarray([hit.score for hit in hits], np.float32)
        hits = [hits[place] for place in diverse(vectors, scores, count=k, diversity=diversity)]
    return [SearchResult(chunk=hit.chunk, score=hit.score, id=hit.id) for hit in hits[:k]]


def _widened(
    ask: Callable[[int], Sequence[Hit]],
    everything: Callable[[], Sequence[Hit]],
    total: int,
    need: int,
    fits: Test | None,
) -> list[Hit]:
    wanted, seen = max(WIDER * need, _LEAST), -1
    while wanted < total:
        found = ask(wanted)
        if len(found) == seen:  # more were asked for, and there are no more
            break
        kept = _ordered(found, fits)
        # One that was not looked at may be as near as the last that was: then it may have been added earlier.
        if len(kept) >= need and kept[need - 1].score > min(hit.score for hit in found):
            return kept[:need]
        wanted, seen = WIDER * wanted, len(found)
    return _ordered(everything(), fits)[:need]


def _ordered(hits: Iterable[Hit], fits: Test | None) -> list[Hit]:
    kept = [hit for hit in hits if fits is None or fits(hit.chunk.metadata)]
    return sorted(kept, key=lambda hit: (-hit.score, hit.order))
