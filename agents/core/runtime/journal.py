"""The journal of one run, and the session that replays it.

A step writes `<kind>.started` before its effect and `<kind>.completed` after it. Writes keep their order and a step's
start is on disk before its effect begins; what follows an effect may be on its way. So whatever a crash leaves behind
is a prefix of what happened, and at most the effects in flight are in doubt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

import anyio
from pydantic import ValidationError

from agents.core import threads
from agents.core.runtime.base import Signals
from agents.core.runtime.brake import Brake
from agents.core.runtime.written import codec_for, storable, written
from loom.errors import NonDeterminism, RuntimeJournalError
from loom.events import Event, Kind, Record, record_of
from loom.ids import deterministic_hash
from loom.messages import utcnow

# The last segment of a step's path says what it is: `model`, `tool:call_2`, `recall`, or any other word.
_KINDS: dict[str, tuple[str | None, str]] = {
    "model": (Kind.MODEL_STARTED, Kind.MODEL_COMPLETED),
    "tool": (Kind.TOOL_STARTED, Kind.TOOL_COMPLETED),
    "recall": (None, Kind.MEMORY_RECALLED),
    "remember": (None, Kind.MEMORY_STORED),
    "step": ("architecture.step.started", "architecture.step.completed"),
}
BEGINNINGS = frozenset(started for started, _ in _KINDS.values() if started)
ENDS = frozenset(completed for _, completed in _KINDS.values())
_SIGNAL = "architecture.signal"
_HARMLESS = frozenset({"model", "recall"})  # they change nothing


class Journal(Protocol):
    """The append-only record of one run. It is also its state: replay it to resume."""

    def post(self, record: Record) -> None:
        """Write in order, soon. What a record holds is `storable`. Raises when an earlier write was refused."""
        ...

    async def flush(self) -> None:
        """Return when all that was posted is on disk. Raises when a write was refused."""
        ...


class JournalSession:
    """A run's steps over its journal: recorded ones are given back, new ones are run and written down."""

    def __init__(self, session_id: str, journal: Journal, recorded: Sequence[Record] = ()) -> None:
        self.id = session_id
        self.name = "journal"
        self.brake = Brake()
        self._journal = journal
        self._started = {r.step_key: r for r in recorded if r.kind in BEGINNINGS}
        self._completed = {r.step_key: r for r in recorded if r.kind in ENDS and "value" in r.data}
        self._keys = {key: r.data.get("idempotency_key") for key, r in self._started.items()}
        self._noted = Counter(_said(r) for r in recorded if r.kind not in BEGINNINGS and "value" not in r.data)
        self.signals = Signals((r.data["name"], r.data["payload"]) for r in recorded if _is_signal(r))

    async def deliver(self, name: str, payload: Any) -> None:
        record = signal_record(name, payload)
        self._journal.post(record)
        await self._journal.flush()
        self.signals.add(name, record.data["payload"])

    def is_recorded(self, name: str) -> bool:
        """Whether this step has ended before, so that `step` gives back what it came to."""
        return name in self._completed

    def in_doubt(self, name: str) -> bool:
        """Whether this step has begun before, may have had its effect, and must not have it twice."""
        return name not in self._completed and not may_repeat(self._started.get(name))

    def idempotency_key(self, name: str) -> str | None:
        """The key under which this step has begun before. It is the same in every run that goes on from there."""
        return self._keys.get(name)

    async def step(
        self,
        name: str,
        fn: Callable[..., Awaitable[Any]],
        *args: Any,
        idempotency_key: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """The recorded result of this step, or the result of running it now.

        Both are read from what is written, so that a run goes on alike whether it was interrupted or not.
        """
        kind = _kind_of(name)
        intent = _intent(kind, fn, args, kwargs)
        self._check(name, intent)
        if (after := self._completed.get(name)) is None:
            extra = {"idempotency_key": idempotency_key} if idempotency_key else {}
            await self.brake.enter()
            try:
                await self._begin(name, kind, fn, intent, extra)
                after = await self._taken(name, kind, intent, partial(fn, *args, **kwargs))
            finally:
                self.brake.leave()
        try:
            return codec_for(fn).validate_python(after.data["value"])
        except ValidationError as error:
            raise RuntimeJournalError(f"the result of step {name!r} does not fit: {error}", step_key=name) from error

    async def _taken(self, name: str, kind: str, intent: dict[str, Any], work: Callable[[], Awaitable[Any]]) -> Record:
        begin = getattr(self._journal, "transaction", None) if intent.get("effect") == "transactional" else None
        if begin is None:  # a journal that is not in the database knows the step's key, and no more
            record = _end(name, kind, await work())
            self._finish(record)
            return record
        async with begin() as transaction:
            with threads.within(transaction):
                value = await work()
            record = _end(name, kind, value)
            await transaction.commit(record)
            return record

    async def stream_step(
        self, name: str, fn: Callable[..., AsyncIterator[Any]], *args: Any, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Pass a stream through and record it when it is whole; replayed, it comes at once."""
        kind = _kind_of(name)
        intent = _intent(kind, fn, args, kwargs)
        self._check(name, intent)
        if (after := self._completed.get(name)) is not None:
            for item in after.data["value"]:
                yield item
            return
        await self.brake.enter()
        try:
            await self._begin(name, kind, fn, intent, {})
            items = []
            async for item in fn(*args, **kwargs):
                items.append(written(item))
                yield items[-1]
            self._finish(_end(name, kind, items, stream=True))
        finally:
            self.brake.leave()

    def _check(self, name: str, intent: dict[str, Any]) -> None:
        if (before := self._started.get(name)) is not None:
            _check_same(name, before, intent)

    async def _begin(
        self, name: str, kind: str, fn: Callable[..., Any], intent: dict[str, Any], extra: dict[str, Any]
    ) -> None:
        started, _ = _KINDS[kind]
        if started and name not in self._started:
            self._announce(Record(kind=started, step_key=name, data={**intent, **storable(extra)}))
        if not _stays_here(kind, fn, intent):
            await self._journal.flush()

    def _announce(self, record: Record) -> None:
        """Write the beginning of a step down."""
        self._journal.post(record)

    def _finish(self, record: Record) -> None:
        """Write the end of a step down."""
        self._journal.post(record)

    async def sleep(self, name: str, seconds: float) -> None:
        """Let time pass, counted from the first time that the run came here: a replay sleeps what is left of it."""

        async def wakes_at() -> datetime:
            return utcnow() + timedelta(seconds=seconds)

        await self._wait_until(name, await self.step(name, wakes_at))

    async def _wait_until(self, name: str, moment: datetime) -> None:
        """Wait here; a session whose run can be suspended does that instead."""
        await anyio.sleep(max(0.0, (moment - utcnow()).total_seconds()))

    def note(self, event: Event) -> None:
        """Write an event that is no step. What a replay says again is not written again."""
        record = record_of(event)
        if record is None or record.kind in ENDS:  # what a step records needs no note
            return
        if self._noted and self._noted[said := _said(record)] > 0:
            self._noted[said] -= 1
            return
        self._journal.post(record.model_copy(update={"data": storable(record.data)}))


def may_repeat(started: Record | None) -> bool:
    """The rule for a step that a crash cut off: only what is irreversible is not done again.

    `read` and `idempotent` tools may run twice, `keyed` ones are given the key of the first time, and of
    `transactional` ones nothing is left.
    """
    return started is None or started.data.get("effect") != "irreversible"


def signal_record(name: str, payload: Any) -> Record:
    return Record(kind=_SIGNAL, data={"name": name, "payload": written(payload)})


def _is_signal(record: Record) -> bool:
    return record.kind == _SIGNAL and record.data.keys() == {"name", "payload"}  # a strategy may have such an event


def _said(record: Record) -> tuple[str, str, str]:
    """What two notes are the same by: a note of a step that is only replayed never comes, and hides no later one."""
    return record.kind, record.step_key, deterministic_hash(written(record.data))


def _kind_of(name: str) -> str:
    kind = name.rsplit("/", 1)[-1].split(":", 1)[0]
    return kind if kind in _KINDS else "step"


def _stays_here(kind: str, fn: Callable[..., Any], intent: dict[str, Any]) -> bool:
    """Whether a step changes nothing that outlives this process, so that nothing need be on disk before it."""
    if kind in _HARMLESS or intent.get("effect") == "read":
        return True
    return getattr(getattr(fn, "__self__", None), "in_process", False) is True


def _intent(kind: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """What a step is about to do, as the journal tells it; nothing, if it does not tell of the beginning of such steps.

    A single argument may say it itself, by `journal()`.
    """
    if _KINDS[kind][0] is None:
        return {}
    if len(args) == 1 and not kwargs and hasattr(args[0], "journal"):
        told: dict[str, Any] = written(args[0].journal())
        return told
    digest = deterministic_hash(written([args, kwargs]))
    return {"step": getattr(fn, "__name__", type(fn).__name__), "arguments_hash": digest}


def _end(name: str, kind: str, value: Any, **more: Any) -> Record:
    return Record(kind=_KINDS[kind][1], step_key=name, data={"value": written(value), **more})


def _check_same(name: str, before: Record, intent: dict[str, Any]) -> None:
    intent = {key: value for key, value in intent.items() if key != "effect"}  # what counts is what it was then
    recorded = {key: value for key, value in before.data.items() if key in intent}
    if deterministic_hash(recorded) != deterministic_hash(intent):
        raise NonDeterminism(
            f"step {name!r} was recorded as {recorded} and is now {intent}: the code or the agent has changed since",
            step_key=name,
        )
