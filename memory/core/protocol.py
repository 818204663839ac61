"""What an agent asks of its memory, and memory of its facts and embedder.

In all of them `user_id` is the partition: None is a bucket of its own, never a wildcard.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Protocol, runtime_checkable

from loom.messages import Message
from memory.core.values import Episode, EpisodeMatch, Fact, MemoryBlock, MemoryExport, MemoryProfile


@runtime_checkable
class Memory(Protocol):
    """What is remembered of each user's conversations."""

    async def working(self, *, user_id: str | None = None) -> list[MemoryBlock]:
        """The user's blocks by `pinned_order`; equal ones in the order in which they were made."""
        ...

    async def update_block(self, name: str, content: str, *, user_id: str | None = None) -> None: ...

    async def append_block(self, name: str, content: str, *, user_id: str | None = None) -> None:
        """Add to the end of a block, or make it. Nothing is put between the old text and the new."""
        ...

    async def remember(self, episode: Episode) -> str:
        """Store an episode under its own user and return its id. The same id again replaces it."""
        ...

    async def recall(
        self,
        query: str,
        *,
        kind: str = "episodic",
        limit: int = 5,
        time_range: tuple[datetime, datetime] | None = None,
        user_id: str | None = None,
    ) -> list[Episode]:
        """The most relevant episodes; for an empty query, or when none is relevant, the newest.

        `time_range` includes both ends. Every backend keeps `episodic`; other kinds are for stores that have more.
        """
        ...

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
        """The relevant episodes with their scores. `alpha`: 0 is words only, 1 is vectors only."""
        ...

    async def recall_facts(
        self, query: str, *, limit: int = 5, valid_at: datetime | None = None, user_id: str | None = None
    ) -> list[Fact]:
        """The relevant facts that hold at `valid_at`, by default now."""
        ...

    async def consolidate(self) -> int:
        """Read facts out of episodes that have not been read yet. How many were found; 0 without a Consolidator."""
        ...

    async def session_messages(self, session_id: str, *, user_id: str | None = None, limit: int = 20) -> list[Message]:
        """The last `limit // 2` exchanges of a conversation as messages, oldest first."""
        ...

    async def profile(self, *, user_id: str | None = None) -> MemoryProfile: ...

    async def forget(
        self, *, user_id: str | None = None, session_id: str | None = None, before: datetime | None = None
    ) -> int:
        """Erase what matches all given filters; returns how many episodes and facts went.

        Facts go with the episodes they were read from; without `session_id` also by their own `recorded_at`. Blocks
        belong to no session: they go when the whole user is forgotten or when last changed before `before`.
        """
        ...

    async def export(self, *, user_id: str | None = None) -> MemoryExport:
        """Everything kept about the user, without a cap."""
        ...


@runtime_checkable
class FactStore(Protocol):
    """Facts of users. Nothing in it is deleted by new facts: the old ones get an end."""

    async def append(self, fact: Fact) -> str: ...

    async def query(
        self,
        *,
        subject: str | None = None,
        predicate: str | None = None,
        object_: str | None = None,
        valid_at: datetime | None = None,
        limit: int = 10,
        user_id: str | None = None,
    ) -> list[Fact]:
        """Exact matches, the last recorded first. Without `valid_at` ended facts are among them."""
        ...

    async def recall_text(
        self, query: str, *, limit: int = 5, valid_at: datetime | None = None, user_id: str | None = None
    ) -> list[Fact]:
        """The facts that fit a text best among those that hold at `valid_at`, by default now."""
        ...

    async def all_facts(self) -> list[Fact]:
        """The facts of all users. For operators; nothing in a run calls it."""
        ...

    async def aclose(self) -> None: ...


@runtime_checkable
class ErasableFactStore(FactStore, Protocol):
    """A fact store whose users can be forgotten. Memory refuses to forget facts that lie in any other."""

    async def forget(
        self, *, user_id: str | None, before: datetime | None = None, sources: Collection[str] | None = None
    ) -> int:
        """Erase the user's facts that match all given filters and return how many.

        `before` compares `recorded_at`. With `sources`, a fact goes when it has no other source left; otherwise it
        only loses the named ones.
        """
        ...


@runtime_checkable
class BatchFactStore(FactStore, Protocol):
    """A fact store that takes many facts at once for less."""

    async def append_many(self, facts: Iterable[Fact]) -> list[str]: ...


class Embedder(Protocol):
    """Text to vectors of `dimensions` floats."""

    name: str
    dimensions: int

    async def embed(self, text: str) -> list[float]: ...

    async def embed_batch(self, texts: list[str]) -> list[list[float]]: ...
