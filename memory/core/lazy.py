"""Memory on a server that is reached when it is first used, so that an agent can be made without waiting."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import datetime
from typing import Any

from loom.errors import ConfigError, Invalid, MemoryStoreError
from loom.messages import Message
from memory.core.history import Range
from memory.core.once import Once
from memory.core.values import Episode, EpisodeMatch, Fact, MemoryBlock, MemoryExport, MemoryProfile


class LazyMemory:
    """The memory that `builder` gives, connected once, on first use; each event loop has a connection of its own.

    When that fails it raises MemoryStoreError with the `description`, which should name no password, and the next use
    tries again. `with_facts` says that there will be facts, so that they can be asked for before it is connected.
    """

    def __init__(
        self, builder: Callable[[], Awaitable[Any]], *, description: str = "memory", with_facts: bool = False
    ) -> None:
        self._once: Once[Any] = Once(builder)
        self._description = description
        self._facts = LazyFacts(self._inner) if with_facts else None

    @property
    def is_ready(self) -> bool:
        """Whether it is connected, for this event loop."""
        return self._once.value is not None

    @property
    def description(self) -> str:
        return self._description

    @property
    def facts(self) -> Any | None:
        """The fact store. Before it is connected: one that connects when it is used, if there will be any."""
        inner = self._once.value
        return self._facts if inner is None else getattr(inner, "facts", None)

    async def working(self, *, user_id: str | None = None) -> list[MemoryBlock]:
        found: list[MemoryBlock] = await (await self._inner()).working(user_id=user_id)
        return found

    async def update_block(self, name: str, content: str, *, user_id: str | None = None) -> None:
        await (await self._inner()).update_block(name, content, user_id=user_id)

    async def append_block(self, name: str, content: str, *, user_id: str | None = None) -> None:
        await (await self._inner()).append_block(name, content, user_id=user_id)

    async def remember(self, episode: Episode) -> str:
        episode_id: str = await (await self._inner()).remember(episode)
        return episode_id

    async def recall(
        self,
        query: str,
        *,
        kind: str = "episodic",
        limit: int = 5,
        time_range: Range | None = None,
        user_id: str | None = None,
    ) -> list[Episode]:
        inner = await self._inner()
        found: list[Episode] = await inner.recall(query, kind=kind, limit=limit, time_range=time_range, user_id=user_id)
        return found

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
        inner = await self._inner()
        found: list[EpisodeMatch] = await inner.recall_scored(
            query, kind=kind, limit=limit, time_range=time_range, user_id=user_id, alpha=alpha
        )
        return found

    async def recall_facts(
        self, query: str, *, limit: int = 5, valid_at: datetime | None = None, user_id: str | None = None
    ) -> list[Fact]:
        inner = await self._inner()
        found: list[Fact] = await inner.recall_facts(query, limit=limit, valid_at=valid_at, user_id=user_id)
        return found

    async def session_messages(self, session_id: str, *, user_id: str | None = None, limit: int = 20) -> list[Message]:
        inner = await self._inner()
        found: list[Message] = await inner.session_messages(session_id, user_id=user_id, limit=limit)
        return found

    async def consolidate(self) -> int:
        count: int = await (await self._inner()).consolidate()
        return count

    async def profile(self, *, user_id: str | None = None) -> MemoryProfile:
        profile: MemoryProfile = await (await self._inner()).profile(user_id=user_id)
        return profile

    async def forget(
        self, *, user_id: str | None = None, session_id: str | None = None, before: datetime | None = None
    ) -> int:
        inner = await self._inner()
        count: int = await inner.forget(user_id=user_id, session_id=session_id, before=before)
        return count

    async def export(self, *, user_id: str | None = None) -> MemoryExport:
        export: MemoryExport = await (await self._inner()).export(user_id=user_id)
        return export

    async def aclose(self) -> None:
        """Close the connection of this event loop. The next use connects again."""
        inner = await self._once.take()
        close = getattr(inner, "aclose", None)
        if close is not None and inspect.isawaitable(closing := close()):
            await closing

    async def _inner(self) -> Any:
        try:
            return await self._once.get()
        except Invalid:  # says itself what is wrong, and that trying again does not help
            raise
        except Exception as error:
            raise MemoryStoreError(
                f"the memory {self._description} cannot be reached: {error}", memory=self._description
            ) from error


class LazyFacts:
    """The facts of a LazyMemory that is not connected yet."""

    def __init__(self, memory: Callable[[], Awaitable[Any]]) -> None:
        self._memory = memory

    async def append(self, fact: Fact) -> str:
        fact_id: str = await (await self._store()).append(fact)
        return fact_id

    async def append_many(self, facts: Iterable[Fact]) -> list[str]:
        store = await self._store()
        if hasattr(store, "append_many"):
            fact_ids: list[str] = await store.append_many(facts)
            return fact_ids
        return [await store.append(fact) for fact in facts]

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
        store = await self._store()
        found: list[Fact] = await store.query(
            subject=subject, predicate=predicate, object_=object_, valid_at=valid_at, limit=limit, user_id=user_id
        )
        return found

    async def recall_text(
        self, query: str, *, limit: int = 5, valid_at: datetime | None = None, user_id: str | None = None
    ) -> list[Fact]:
        store = await self._store()
        found: list[Fact] = await store.recall_text(query, limit=limit, valid_at=valid_at, user_id=user_id)
        return found

    async def all_facts(self) -> list[Fact]:
        found: list[Fact] = await (await self._store()).all_facts()
        return found

    async def forget(
        self, *, user_id: str | None, before: datetime | None = None, sources: Collection[str] | None = None
    ) -> int:
        count: int = await (await self._store()).forget(user_id=user_id, before=before, sources=sources)
        return count

    async def aclose(self) -> None:
        """Nothing: what is open belongs to the memory."""

    async def _store(self) -> Any:
        memory = await self._memory()
        if memory.facts is None:
            raise ConfigError(f"{type(memory).__name__} was said to keep facts and keeps none")
        return memory.facts
