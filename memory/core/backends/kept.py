"""What memories that outlive a program do alike, given how each of them reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime

from loom.messages import Message, Role
from memory.core.history import Range
from memory.core.protocol import Embedder, FactStore
from memory.core.recall import default_recall_scored
from memory.core.values import Episode, EpisodeMatch, Fact

EVERYTHING = 2**63 - 1


class KeptMemory(ABC):
    """Episodes and blocks somewhere, facts in a fact store: recall, and what is made of it."""

    def __init__(self, *, embedder: Embedder | None, facts: FactStore | None) -> None:
        self._embedder = embedder
        self.facts = facts

    @property
    def embedder(self) -> Embedder | None:
        return self._embedder

    async def update_block(self, name: str, content: str, *, user_id: str | None = None) -> None:
        await self._write_block(user_id, name, content, append=False)

    async def append_block(self, name: str, content: str, *, user_id: str | None = None) -> None:
        await self._write_block(user_id, name, content, append=True)

    async def recall(
        self,
        query: str,
        *,
        kind: str = "episodic",
        limit: int = 5,
        time_range: Range | None = None,
        user_id: str | None = None,
    ) -> list[Episode]:
        found = await self.recall_scored(query, limit=limit, time_range=time_range, user_id=user_id)
        if found or not query.strip():
            return [match.episode for match in found]
        return await self._newest(user_id, limit, time_range)

    async def recall_scored(
        self,
        query: str,
        *,
        kind: str = "episodic",
        limit: int = 5,
        time_range: Range | None = None,
        user_id: str | None = None,
        alpha: float = 0.5,
    ) -> list[EpisodeMatch]:
        """By words the score is BM25. With an embedder it is that of the two orders fused by rank, at most 1/61.

        Without an embedder alpha changes nothing. An empty query gets the newest, with score 1.
        """
        await self._check_isolation(user_id)
        if not query.strip():
            return default_recall_scored(await self._newest(user_id, limit, time_range))
        if self._embedder is None:
            return await self._by_words(user_id, query, limit, time_range)
        vector = await self._embedder.embed(query) if alpha > 0 else None
        return await self._by_both(user_id, query, vector, limit, time_range, alpha)

    async def recall_facts(
        self, query: str, *, limit: int = 5, valid_at: datetime | None = None, user_id: str | None = None
    ) -> list[Fact]:
        if self.facts is None:
            return []
        return await self.facts.recall_text(query, limit=limit, valid_at=valid_at, user_id=user_id)

    async def consolidate(self) -> int:
        """Nothing: there is no Consolidator here. `AutoExtractMemory` around it reads facts out of every episode."""
        return 0

    async def session_messages(self, session_id: str, *, user_id: str | None = None, limit: int = 20) -> list[Message]:
        last = await self._last_of_session(user_id, session_id, limit // 2)
        return [message for episode in last for message in _exchange(episode)]

    async def _embedded(self, episode: Episode) -> list[float] | None:
        if self._embedder is None:
            return None
        return await self._embedder.embed(f"{episode.input}\n{episode.output}")

    async def _facts_of(self, user_id: str | None) -> list[Fact]:
        return [] if self.facts is None else await self.facts.query(user_id=user_id, limit=EVERYTHING)

    @abstractmethod
    async def _write_block(self, user_id: str | None, name: str, content: str, *, append: bool) -> None: ...

    @abstractmethod
    async def _newest(self, user_id: str | None, limit: int, time_range: Range | None) -> list[Episode]: ...

    @abstractmethod
    async def _by_words(
        self, user_id: str | None, query: str, limit: int, time_range: Range | None
    ) -> list[EpisodeMatch]: ...

    @abstractmethod
    async def _by_both(
        self,
        user_id: str | None,
        query: str,
        vector: Sequence[float] | None,
        limit: int,
        time_range: Range | None,
        alpha: float,
    ) -> list[EpisodeMatch]:
        """By words and by the vector of the query, which is not there when alpha leaves vectors out."""

    @abstractmethod
    async def _last_of_session(self, user_id: str | None, session_id: str, count: int) -> list[Episode]:
        """Oldest first."""

    @abstractmethod
    async def _check_isolation(self, user_id: str | None) -> None:
        """Warn when nobody is named and there are rows of named users."""


def _exchange(episode: Episode) -> tuple[Message, Message]:
    return Message(role=Role.USER, content=episode.input), Message(role=Role.ASSISTANT, content=episode.output)
