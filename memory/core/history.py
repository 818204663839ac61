"""The episodes of one user, held in this process."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from heapq import nlargest

from loom.messages import Message, Role
from memory.core.lexical import LexicalIndex
from memory.core.values import Episode, as_utc

Range = tuple[datetime, datetime]


class History:
    """The episodes of one user, oldest first, found by session, by time and by word.

    A text's number in the index is its place among the episodes. Texts are entered when they are searched; an episode
    that belongs before one that is there already has all of them entered again.
    """

    def __init__(self) -> None:
        self.episodes: list[Episode] = []
        self._sessions: defaultdict[str, list[Episode]] = defaultdict(list)
        self._words = LexicalIndex()
        self._ids: set[str] = set()
        self._exchanges: dict[str, tuple[Message, Message]] = {}

    def __contains__(self, episode_id: str) -> bool:
        return episode_id in self._ids

    def add(self, episode: Episode) -> None:
        """Add an episode that is not there yet."""
        if self.episodes and episode.occurred_at < self.episodes[-1].occurred_at:
            insort(self.episodes, episode, key=_occurred_at)
            insort(self._sessions[episode.session_id], episode, key=_occurred_at)
            self._words = LexicalIndex()
        else:
            self.episodes.append(episode)
            self._sessions[episode.session_id].append(episode)
        self._ids.add(episode.id)

    def without(self, episode_ids: Collection[str]) -> History:
        """The history that is left when some episodes are erased."""
        left = History()
        for episode in self.episodes:
            if episode.id not in episode_ids:
                left.add(episode)
        return left

    def newest(self, limit: int, time_range: Range | None = None) -> list[Episode]:
        start, end = self._places(time_range)
        return self.episodes[max(start, end - max(limit, 0)) : end][::-1]

    def messages(self, session_id: str, count: int) -> list[Message]:
        """The last `count` exchanges of a session as messages, oldest first."""
        episodes = self._sessions.get(session_id, ())
        last = episodes[max(len(episodes) - max(count, 0), 0) :]
        return [message for episode in last for message in self._exchange(episode)]

    def recent_sessions(self, count: int) -> list[str]:
        last_seen = {session_id: episodes[-1].occurred_at for session_id, episodes in self._sessions.items()}
        return nlargest(count, last_seen, key=last_seen.__getitem__)

    def by_words(self, query: str, limit: int, time_range: Range | None) -> list[tuple[float, Episode]]:
        """The episodes that share words with the query, best first, equally good ones newest first."""
        keep = None
        if time_range is not None:
            start, end = self._places(time_range)
            keep = lambda place: start <= place < end  # noqa: E731
        for episode in self.episodes[len(self._words) :]:
            self._words.add(f"{episode.input} {episode.output}")
        scores = self._words.scores(query, limit, keep=keep)
        newest_first = sorted(scores, reverse=True)
        best = sorted(newest_first, key=scores.__getitem__, reverse=True)[: max(limit, 0)]
        return [(scores[place], self.episodes[place]) for place in best]

    def _places(self, time_range: Range | None) -> tuple[int, int]:
        """Where the episodes of a time lie: from the first place to before the second."""
        if time_range is None:
            return 0, len(self.episodes)
        since, until = as_utc(time_range[0]), as_utc(time_range[1])
        return (
            bisect_left(self.episodes, since, key=_occurred_at),
            bisect_right(self.episodes, until, key=_occurred_at),
        )

    def _exchange(self, episode: Episode) -> tuple[Message, Message]:
        # Kept, because every run of a conversation reads the same last exchanges again.
        exchange = self._exchanges.get(episode.id)
        if exchange is None:
            exchange = (
                Message(role=Role.USER, content=episode.input),
                Message(role=Role.ASSISTANT, content=episode.output),
            )
            self._exchanges[episode.id] = exchange
        return exchange


def _occurred_at(episode: Episode) -> datetime:
    return episode.occurred_at
