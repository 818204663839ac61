"""Who watches: the journal of a run as it grows, and the runs of a tenant as they change."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import anyio
from pydantic_core import to_json

from agents.models import Run, RunEvent
from agents.stream.ears import lend_ear
from agents.stream.nudges import Deltas, run_group, tenant_group
from governance.tenancy import unit
from loom.errors import Denied
from loom.events import Kind
from loom.messages import utcnow

PAGE = 500
POLL_SECONDS = 3.0
GUARD_SECONDS = 2.0


@dataclass(frozen=True)
class Notice:
    """What a watcher is told: a line of the journal or, without a number, a piece of what a model is saying."""

    seq: int | None
    kind: str
    at: datetime
    step_key: str
    data: dict[str, Any]

    @cached_property
    def json(self) -> str:
        """The object that REST, SSE and WebSocket show alike; written once for all watchers of this process."""
        shown = {"seq": self.seq, "kind": self.kind, "at": self.at, "step_key": self.step_key, "data": self.data}
        return to_json(shown).decode()


async def follow(
    tenant_id: UUID, run_id: UUID, *, after: int = 0, allowed: Callable[[], bool] | None = None
) -> AsyncGenerator[Notice | None, None]:
    """The run's journal after a number, each line once and in order, then what comes; ends after the terminal event.

    Between the lines comes live text: `model.delta` with `data` = `{text, offset}`, where `text` goes on from `offset`;
    and None every few seconds in which nothing happened. Whether the caller may see the run is for them to ask before;
    `allowed` is asked again and again, in the tenant's scope, and a no raises Denied.
    """
    feed = _join_run(tenant_id, run_id)
    live, guard = _LiveText(), _Guard(tenant_id, allowed)
    try:
        if after and await feed.has_ended_at(after):
            return
        while True:
            await guard.check()
            known = feed.version
            lines = await feed.lines_after(after)
            for line in lines:
                yield line
                after = line.seq or after
                if line.kind in Kind.TERMINAL:
                    return
            if len(lines) < PAGE:
                for piece in live.news(await feed.texts()):
                    yield piece
                if not await feed.changes(known):
                    yield None
    finally:
        feed.leave()


@asynccontextmanager
async def hear_tenant(tenant_id: UUID) -> AsyncIterator[None]:
    """Inside, this process hears what changes among the tenant's runs; while Redis is away, it is let in without."""

    def forget(message: dict[str, Any] | None) -> None: ...

    ear = lend_ear(tenant_group(tenant_id), forget)
    try:
        with anyio.move_on_after(POLL_SECONDS):
            await ear.listening.wait()
        yield
    finally:
        ear.leave(forget)


async def follow_tenant(
    tenant_id: UUID, *, allowed: Callable[[], bool] | None = None
) -> AsyncGenerator[dict[str, Any] | None, None]:
    """What changes among the tenant's runs, from now on; None every few seconds in which nothing did.

    A hint to look, not a record: what happens while Redis is away is not told. `allowed` as with `follow`.
    """
    guard, heard, changed = _Guard(tenant_id, allowed), deque[dict[str, Any]](maxlen=1000), anyio.Event()

    def hear(message: dict[str, Any] | None) -> None:
        if message is not None:
            heard.append(message)
            changed.set()

    ear = lend_ear(tenant_group(tenant_id), hear)
    try:
        while True:
            await guard.check()
            while heard:
                yield heard.popleft()
            changed = anyio.Event()
            with anyio.move_on_after(POLL_SECONDS) as pause:
                await changed.wait()
            if pause.cancelled_caught:
                yield None
    finally:
        ear.leave(hear)


class _Guard:
    """Asks now and then whether a watcher may still watch."""

    def __init__(self, tenant_id: UUID, allowed: Callable[[], bool] | None) -> None:
        self._tenant_id, self._allowed = tenant_id, allowed
        self._asked_at = time.monotonic()

    async def check(self) -> None:
        if self._allowed is None or time.monotonic() - self._asked_at < GUARD_SECONDS:
            return
        if not await unit(self._tenant_id, self._allowed)():
            raise Denied("the credential of this stream is no longer valid")
        self._asked_at = time.monotonic()


class _LiveText:
    """How much of the live text one watcher has."""

    def __init__(self) -> None:
        self._sent: dict[str, str] = {}

    def news(self, texts: dict[str, str]) -> Iterator[Notice]:
        for step_key, text in texts.items():
            sent = self._sent.get(step_key, "")
            if text != sent:
                offset = len(sent) if text.startswith(sent) else 0  # a call that is tried again begins anew
                yield Notice(None, Kind.MODEL_DELTA, utcnow(), step_key, {"text": text[offset:], "offset": offset})
        self._sent = texts


class _Feed:
    """One run as this process sees it: however many watch, one of them reads for all.

    It keeps the journal's newest lines; who is further behind reads a page alone.
    """

    def __init__(self, tenant_id: UUID, run_id: UUID) -> None:
        self._tenant_id, self._run_id = tenant_id, run_id
        self._deltas = Deltas(tenant_id, run_id)
        self._lock = anyio.Lock()
        self._changed = anyio.Event()
        self._line_changes = self._text_changes = 1
        self._lines_read = self._texts_read = 0
        self._tail: list[Notice] = []
        self._before_tail: int | None = None  # the tail has every line after this one
        self._texts: dict[str, str] = {}
        self._finished: set[str] = set()
        self.watchers = 0
        self._ear = lend_ear(run_group(tenant_id, run_id), self._hear)
        self._timer = self._ear.loop.call_later(POLL_SECONDS, self._tick)

    @property
    def version(self) -> tuple[int, int]:
        return self._line_changes, self._text_changes

    async def changes(self, known: tuple[int, int]) -> bool:
        """Wait for something new; no when nothing was heard for a while, and it is time to look without being told."""
        if self.version == known:
            await self._changed.wait()
        return self.version != known

    async def lines_after(self, seq: int) -> list[Notice]:
        """What comes after a line, a page at most."""
        if self._before_tail is not None and seq >= self._before_tail:
            if self._lines_read != self._line_changes:
                async with self._lock:
                    await self._extend_tail()
            if seq >= self._before_tail:
                return self._tail[seq - self._before_tail :]  # numbers have no gaps
        lines = await self._read(seq)
        if len(lines) < PAGE and self._before_tail is None:
            self._before_tail = seq + len(lines)
        return lines

    async def texts(self) -> dict[str, str]:
        """What models are saying, of the steps that are not finished."""
        if self._texts_read != self._text_changes:
            async with self._lock:
                await self._read_texts()
        return {step_key: text for step_key, text in self._texts.items() if step_key not in self._finished}

    async def has_ended_at(self, seq: int) -> bool:
        """Whether nothing will ever come after this line."""

        def look() -> bool:
            run = Run.objects.filter(pk=self._run_id).only("status", "last_seq").first()
            return run is None or (run.is_over and run.last_seq <= seq)

        return await unit(self._tenant_id, look)()

    def leave(self) -> None:
        """The last to leave turns off the light. Without `await`: it also runs while a generator is thrown away."""
        self.watchers -= 1
        if self.watchers == 0:
            self._timer.cancel()
            self._ear.leave(self._hear)
            _feeds[self._ear.loop].pop(self._run_id, None)

    async def _extend_tail(self) -> None:
        if self._lines_read == self._line_changes:
            return  # another watcher was faster
        changes = self._line_changes
        while lines := await self._read(self._tail[-1].seq if self._tail else self._before_tail):
            self._tail += lines
            if len(lines) < PAGE:
                break
        if surplus := self._tail[:-PAGE]:
            self._before_tail = surplus[-1].seq
            del self._tail[: len(surplus)]
        self._lines_read = changes

    async def _read(self, seq: int | None) -> list[Notice]:
        def read() -> list[Notice]:
            rows = RunEvent.objects.filter(run_id=self._run_id, seq__gt=seq).order_by("seq")[:PAGE].whole()
            return [Notice(row.seq, row.kind, row.at, row.step_key, row.data) for row in rows]

        lines = await unit(self._tenant_id, read)()
        self._finished.update(line.step_key for line in lines if line.kind == Kind.MODEL_COMPLETED)
        return lines

    async def _read_texts(self) -> None:
        changes = self._text_changes
        texts = await self._deltas.read()
        if new := texts.keys() - self._texts.keys():
            self._finished |= await unit(self._tenant_id, self._finished_of)(new)
        self._texts, self._texts_read = texts, changes

    def _finished_of(self, step_keys: Iterable[str]) -> set[str]:
        """Texts outlive their step for a moment."""
        lines = RunEvent.objects.filter(run_id=self._run_id, kind=Kind.MODEL_COMPLETED, step_key__in=step_keys)
        return set(lines.values_list("step_key", flat=True))

    def _hear(self, message: dict[str, Any] | None) -> None:
        self._line_changes += message is None or message["type"] != "run.delta"
        self._text_changes += message is None or message["type"] == "run.delta"
        self._wake()

    def _tick(self) -> None:
        """Nudges may be lost: now and then the watchers look without one."""
        self._lines_read = 0
        self._wake()
        self._timer = self._ear.loop.call_later(POLL_SECONDS, self._tick)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


_feeds: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[UUID, _Feed]] = WeakKeyDictionary()


def _join_run(tenant_id: UUID, run_id: UUID) -> _Feed:
    feeds = _feeds.setdefault(asyncio.get_running_loop(), {})
    feed = feeds.get(run_id) or feeds.setdefault(run_id, _Feed(tenant_id, run_id))
    feed.watchers += 1
    return feed
