"""One order of episodes out of two: by their vectors and by their words."""

from __future__ import annotations

from memory.core.values import Episode, EpisodeMatch
from memory.core.vector_stores.ranking import fused

Found = dict[str, tuple[float, Episode]]  # id → score, episode


def matches(near: Found, words: Found, limit: int, alpha: float) -> list[EpisodeMatch]:
    """The best of both, fused by rank. Of equally good ones the newest comes first."""

    def newest_of_equals(found: Found) -> list[str]:
        return sorted(found, key=lambda key: (found[key][0], found[key][1].occurred_at), reverse=True)

    both = {**near, **words}
    scores = fused([(alpha, newest_of_equals(near)), (1 - alpha, newest_of_equals(words))])
    best = sorted(scores, key=lambda key: (scores[key], both[key][1].occurred_at), reverse=True)
    return [
        EpisodeMatch(
            episode=both[key][1],
            score=scores[key],
            vector_score=near[key][0] if key in near else None,
            bm25_score=words[key][0] if key in words else None,
        )
        for key in best[: max(limit, 0)]
    ]
