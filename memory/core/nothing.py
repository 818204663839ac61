"""A memory that keeps nothing: the ground for memories that answer only some of the questions."""

from __future__ import annotations

from datetime import datetime

from loom.messages import Message
from memory.core.values import Episode, EpisodeMatch, Fact, MemoryBlock, MemoryExport, MemoryProfile

TimeRange = tuple[datetime, datetime] | None


class Nothing:
    """Answers every question with nothing and forgets what it is told."""

    async def working(self, *, user_id: str | None = None) -> list[MemoryBlock]:
        return []

    async def update_block(self, name: str, content: str, *, user_id: str | None = None) -> None:
        return None

    async def append_block(self, name: str, content: str, *, user_id: str | None = None) -> None:
        return None

    async def remember(self, episode: Episode) -> str:
        return episode.id

    async def recall(
        self,
        query: str,
        *,
        kind: str = "episodic",
        limit: int = 5,
        time_range: TimeRange = None,
        user_id: str | None = None,
    ) -> list[Episode]:
        return []

    async def recall_scored(
        self,
        query: str,
        *,
        kind: str = "episodic",
        limit: int = 5,
        time_range: TimeRange = None,
        user_id: str | None = None,
        alpha: float = 0.5,
    ) -> list[EpisodeMatch]:
        return []

    async def recall_facts(
        self, query: str, *, limit: int = 5, valid_at: datetime | None = None, user_id: str | None = None
    ) -> list[Fact]:
        return []

    async def consolidate(self) -> int:
        return 0

    async def session_messages(self, session_id: str, *, user_id: str | None = None, limit: int = 20) -> list[Message]:
        return []

    async def profile(self, *, user_id: str | None = None) -> MemoryProfile:
        return MemoryProfile(user_id=user_id)

    async def forget(
        self, *, user_id: str | None = None, session_id: str | None = None, before: datetime | None = None
    ) -> int:
        return 0

    async def export(self, *, user_id: str | None = None) -> MemoryExport:
        return MemoryExport(user_id=user_id)
