"""From scores to an order: the best, the best that differ, and one order out of two."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
RRF = 60
T = TypeVar("T", bound=Hashable)


def best(scores: Floats, count: int) -> list[int]:
    """The places of the highest scores, highest first; equal ones in their own order."""
    return [int(place) for place in np.argsort(-scores, kind="stable")[:count]]


def diverse(vectors: Floats, scores: Floats, *, count: int, diversity: float) -> list[int]:
    """The places of `count` good vectors that differ, in the order in which they are chosen.

    Maximal marginal relevance (Carbonell and Goldstein, 1998) with lambda = 1 - diversity. `vectors` are (n, d) of unit
    length.
    """
    chosen: list[int] = []
    likeness = np.full(len(vectors), -np.inf, dtype=np.float32)  # to the nearest chosen one
    while len(chosen) < min(count, len(vectors)):
        worth = (1 - diversity) * scores - diversity * (likeness if chosen else 0)
        worth[chosen] = -np.inf
        chosen.append(int(np.argmax(worth)))
        likeness = np.maximum(likeness, vectors @ vectors[chosen[-1]])
    return chosen


def fused(orders: Sequence[tuple[float, Sequence[T]]]) -> dict[T, float]:
    """Score of each, out of several orders with their weights.

    Reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009). An order of weight 0 does not count at all.
    """
    scores: dict[T, float] = {}
    for weight, order in orders:
        for rank, place in enumerate(order if weight > 0 else (), start=1):
            scores[place] = scores.get(place, 0.0) + weight / (RRF + rank)
    return scores
