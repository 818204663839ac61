"""A team's memory in the hands of a worker."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from loom.messages import Message
from memory.core.protocol import Memory
from memory.core.values import Episode, EpisodeMatch, Fact, MemoryBlock, MemoryExport, MemoryProfile

PERSISTENT = "persistent_"  # the sessions of workers that keep a conversation begin with it
_Found = TypeVar("_Found", Episode, EpisodeMatch)


class Lent:
    """What the team knows of its user, but for the conversation in hand.

    A worker that begins afresh each time leaves nothing behind: its work is the team's, and remembered as such.
    """

    def __init__(self, memory: Memory, team_session: str, passing_session: str | None) -> None:
        self._memory, self._team_session, self._passing_session = memory, team_session, passing_session
        self.answers_alike: bool = getattr(memory, "answers_alike", False)

    async def remember(self, episode: Episode) -> str:
        return episode.id if episode.session_id == self._passing_session else await self._memory.remember(episode)

    async def recall(
        self,
        query: str,
        *,
        kind: str = "episodic",
        limit: int = 5,
        time_range: tuple[datetime, datetime] | None = None,
        user_id: str | None = None,
    ) -> list[Episode]:
        found = await self._memory.recall(query, kind=kind, limit=limit, time_range=time_range, user_id=user_id)
        return self._of_others(found)

    async def recall_scored(
        self,
        query: str,
        *,
        kind: str = "episodic",
        limit: int = 5,
        time_range: tuple[datetime, datetime] | None = None,
        user_id: str | None = None,
        alpha: float = 0.5,
    ) -> list[EpisodeMatch]:
        found = await self._memory.recall_scored(
            query, kind=kind, limit=limit, time_range=time_range, user_id=user_id, alpha=alpha
        )
        return self._of_others(found)

    def _of_others(self, found: Sequence[_Found]) -> list[_Found]:
        """Without the conversation in hand, of which a worker is told what it may know."""
        return [item for item in found if _session_of(item) != self._team_session]

    async def working(self, *, user_id: str | None = None) -> list[MemoryBlock]:
        return await self._memory.working(user_id=user_id)

    async def update_block(self, name: str, content: str, *, user_id: str | None = None) -> None:
        await self._memory.update_block(name, content, user_id=user_id)

    async def append_block(self, name: str, content: str, *, user_id: str | None = None) -> None:
        await self._memory.append_block(name, content, user_id=user_id)

    async def recall_facts(
        self, query: str, *, limit: int = 5, valid_at: datetime | None = None, user_id: str | None = None
    ) -> list[Fact]:
        return await self._memory.recall_facts(query, limit=limit, valid_at=valid_at, user_id=user_id)

    async def consolidate(self) -> int:
        return await self._memory.consolidate()

    async def session_messages(self, session_id: str, *, user_id: str | None = None, limit: int = 20) -> list[Message]:
        return await self._memory.session_messages(session_id, user_id=user_id, limit=limit)

    async def profile(self, *, user_id: str | None = None) -> MemoryProfile:
        return await self._memory.profile(user_id=user_id)

    async def forget(
        self, *, user_id: str | None = None, session_id: str | None = None, before: datetime | None = None
    ) -> int:
        return await self._memory.forget(user_id=user_id, session_id=session_id, before=before)

    async def export(self, *, user_id: str | None = None) -> MemoryExport:
        return await self._memory.export(user_id=user_id)


def _session_of(item: Episode | EpisodeMatch) -> str:
    return item.session_id if isinstance(item, Episode) else item.episode.session_id
