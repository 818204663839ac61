"""What every backend's recall has in common."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from loom.context import IsolationWarning
from memory.core.values import Episode, EpisodeMatch


def default_recall_scored(episodes: Iterable[Episode], *, score: float = 1.0) -> list[EpisodeMatch]:
    """Episodes as matches of one score, in the order given: for a backend that ranks but does not measure."""
    return [EpisodeMatch(episode=episode, score=score) for episode in episodes]


def warn_unless_isolated(user_id: str | None, *, named_users: bool) -> None:
    """Warn when a question names no user although the store holds rows of named users.

    The answer is still only what was stored without a user. The warning is for the caller who forgot to say whom.
    """
    if user_id is None and named_users:
        warnings.warn(
            "memory was asked without user_id although it holds rows of named users; only anonymous rows are returned",
            IsolationWarning,
            stacklevel=3,
        )
