"""Memory that reads facts out of every episode as it is remembered."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from time import perf_counter
from typing import Any, Protocol

from loom.messages import Message
from memory.core.consolidator import Consolidator
from memory.core.erasure import unlearn
from memory.core.protocol import FactStore, Memory
from memory.core.values import Episode, EpisodeMatch, Fact, MemoryBlock, MemoryExport, MemoryProfile, as_utc

log = logging.getLogger("loom.memory.auto_extract")

_noticed = False


class Metrics(Protocol):
    """As much of a telemetry as is reported to here."""

    async def emit_metric(self, name: str, value: float, **attrs: Any) -> None: ...


class AutoExtractMemory:
    """The inner memory; after each `remember` its facts are extracted into the inner memory's fact store.

    Extraction is one model call that the caller waits for; what it costs is the business of the consolidator's model.
    A failure is logged and told to `on_extract_error`, never raised: the episode is stored already. Without a fact
    store nothing is extracted.
    """

    def __init__(
        self,
        inner: Memory,
        consolidator: Consolidator,
        *,
        on_extract_error: Callable[[BaseException], Awaitable[None]] | None = None,
        telemetry: Metrics | None = None,
        auto_picked: bool = False,
    ) -> None:
        self._inner, self._consolidator = inner, consolidator
        self._on_extract_error, self._telemetry, self._auto_picked = on_extract_error, telemetry, auto_picked
        self._reading: dict[tuple[str | None, str], Episode] = {}

    @property
    def inner(self) -> Memory:
        return self._inner

    @property
    def facts(self) -> Any:
        return getattr(self._inner, "facts", None)

    async def remember(self, episode: Episode) -> str:
        episode_id = await self._inner.remember(episode)
        store: FactStore | None = self.facts
        if store is not None:
            self._notice()
            await self._extract(episode, store)
        return episode_id

    async def forget(
        self, *, user_id: str | None = None, session_id: str | None = None, before: datetime | None = None
    ) -> int:
        for key, episode in list(self._reading.items()):
            if (
                episode.user_id == user_id
                and session_id in {None, episode.session_id}
                and (before is None or episode.occurred_at < as_utc(before))
            ):
                del self._reading[key]  # what is being read out of it now will be erased when it arrives
        return await self._inner.forget(user_id=user_id, session_id=session_id, before=before)

    async def working(self, *, user_id: str | None = None) -> list[MemoryBlock]:
        return await self._inner.working(user_id=user_id)

    async def update_block(self, name: str, content: str, *, user_id: str | None = None) -> None:
        await self._inner.update_block(name, content, user_id=user_id)

    async def append_block(self, name: str, content: str, *, user_id: str | None = None) -> None:
        await self._inner.append_block(name, content, user_id=user_id)

    async def recall(
        self,
        query: str,
        *,
        kind: str = "episodic",
        limit: int = 5,
        time_range: tuple[datetime, datetime] | None = None,
        user_id: str | None = None,
    ) -> list[Episode]:
        return await self._inner.recall(query, kind=kind, limit=limit, time_range=time_range, user_id=user_id)

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
        return await self._inner.recall_scored(
            query, kind=kind, limit=limit, time_range=time_range, user_id=user_id, alpha=alpha
        )

    async def recall_facts(
        self, query: str, *, limit: int = 5, valid_at: datetime | None = None, user_id: str | None = None
    ) -> list[Fact]:
        return await self._inner.recall_facts(query, limit=limit, valid_at=valid_at, user_id=user_id)

    async def session_messages(self, session_id: str, *, user_id: str | None = None, limit: int = 20) -> list[Message]:
        return await self._inner.session_messages(session_id, user_id=user_id, limit=limit)

    async def consolidate(self) -> int:
        return await self._inner.consolidate()

    async def profile(self, *, user_id: str | None = None) -> MemoryProfile:
        return await self._inner.profile(user_id=user_id)

    async def export(self, *, user_id: str | None = None) -> MemoryExport:
        return await self._inner.export(user_id=user_id)

    async def _extract(self, episode: Episode, store: FactStore) -> None:
        started, status = perf_counter(), "ok"
        key = (episode.user_id, episode.id)
        self._reading[key] = episode
        try:
            await self._consolidator.consolidate([episode], store=store)
            if key not in self._reading:
                await unlearn(episode, store=store)
        except Exception as error:
            status = "error"
            log.warning("no facts were extracted from an episode", exc_info=error)
            if self._on_extract_error is not None:
                await self._on_extract_error(error)
        finally:
            self._reading.pop(key, None)
        await self._report(episode.user_id, status, (perf_counter() - started) * 1000)

    async def _report(self, user_id: str | None, status: str, milliseconds: float) -> None:
        if self._telemetry is not None:
            labels = {"user_id": user_id, "status": status}
            await self._telemetry.emit_metric("loom.auto_extract.duration_ms", milliseconds, **labels)
            await self._telemetry.emit_metric("loom.auto_extract.invocations", 1, **labels)

    def _notice(self) -> None:
        global _noticed
        if self._auto_picked and not _noticed:
            _noticed = True
            log.info("facts are extracted after every run, by one more model call; auto_extract=False turns it off")
