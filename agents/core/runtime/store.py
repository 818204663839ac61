"""Where the SDK's own runtimes keep the journals of runs.

A store keeps runs and their records. That a step has a result is one of the records, so `get_step` and its kin are
views of the journal and not a second store.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Protocol, runtime_checkable

from agents.core.runtime import blobs
from agents.core.runtime.writer import Append, Done, in_tasks
from agents.core.runtime.written import written
from loom.errors import Conflict, RuntimeJournalError
from loom.events import Record


class Everyone(Enum):
    """All users, as opposed to None, who is nobody in particular."""

    EVERYONE = 0


EVERYONE = Everyone.EVERYONE


@dataclass(frozen=True, slots=True)
class JournaledRun:
    """One run in a store. `resumable` is false for what belongs to a larger run and for bare sessions."""

    id: str
    user_id: str | None
    session_id: str
    input: Any = None
    resumable: bool = True

    @classmethod
    def bare(cls, session_id: str) -> JournaledRun:
        """The journal of `runtime.session(session_id)`: no agent's run, and never at its end."""
        return cls(session_id, None, session_id, resumable=False)


@dataclass(frozen=True, slots=True)
class Row:
    """A record as it was written, and when (seconds since the epoch)."""

    record: Record
    at: float


@dataclass(frozen=True)
class JournalEntry:
    """What a step came to, and when it was written down (seconds since the epoch)."""

    value: Any
    created_at: float


@runtime_checkable
class JournalStore(Protocol):
    """Runs and their records. Whoever opens a run takes it over: writes of the attempt before are refused.

    A store inherits from this and says how runs and records are kept.
    """

    async def open(self, run: JournaledRun) -> int:
        """Begin a run, or take over one that is there; the number of this attempt is its fence.

        Raises Conflict when the run has ended, or is another user's or session's.
        """
        ...

    async def append(self, appends: Sequence[Append[str]]) -> AbstractSet[str]:
        """Write in one transaction; on disk when it returns. Gives the ids of the runs that were written to."""
        ...

    async def begin(self, runs: Sequence[JournaledRun], appends: Sequence[Append[str]]) -> AbstractSet[str]:
        """Begin runs whose ids nobody has used before, each with 1 for its fence, and write as `append` does."""
        for run in runs:
            await self.open(run)
        return await self.append(appends)

    def submit(self, runs: Sequence[JournaledRun], appends: Sequence[Append[str]], done: Done[str]) -> None:
        """`begin`, or `append` where no run begins, and then call `done` on this event loop, which need not wait."""

        def write(appends: Sequence[Append[str]]) -> Awaitable[AbstractSet[str]]:
            return self.begin(runs, appends) if runs else self.append(appends)

        in_tasks(write)(lambda: appends, done)

    async def read(self, run_id: str, step_name: str | None = None) -> list[Row]:
        """The records of a run in their order, of one step if it is named."""
        ...

    async def unfinished(
        self, *, user_id: str | Everyone | None = EVERYONE, session_id: str | None = None
    ) -> list[JournaledRun]:
        """The runs that can be resumed, oldest first: the last one of each user and session, unless it has ended."""
        ...

    async def forget(self, user_id: str | None, session_id: str | None = None) -> int:
        """Delete the runs of a user with their records, of one session if it is named; how many runs there were."""
        ...

    async def aclose(self) -> None: ...

    # --- steps and streams of bare sessions: views of the records ---------------------------------------------------

    async def get_step(self, session_id: str, step_name: str) -> JournalEntry | None:
        return await self._found(session_id, step_name, stream=False)

    async def put_step(self, session_id: str, step_name: str, value: Any) -> None:
        await self.put(JournaledRun.bare(session_id), _ended(step_name, value))

    async def get_stream(self, session_id: str, step_name: str) -> list[Any] | None:
        entry = await self._found(session_id, step_name, stream=True)
        return None if entry is None else list(entry.value)

    async def put_stream(self, session_id: str, step_name: str, chunks: list[Any]) -> None:
        await self.put(JournaledRun.bare(session_id), _ended(step_name, chunks, stream=True))

    async def put(self, run: JournaledRun, record: Record) -> None:
        """Write a record whoever holds the run; begin the run if it is not there."""
        append = Append(run.id, None, [record])
        if not await self.append([append]):
            await self.open(run)
            await self.append([append])

    async def _found(self, session_id: str, step_name: str, *, stream: bool) -> JournalEntry | None:
        for row in reversed(await self.read(session_id, step_name)):
            data = row.record.data
            if "value" in data and bool(data.get("stream")) is stream:
                return JournalEntry(data["value"], row.at)
        return None


def _ended(step_name: str, value: Any, **more: bool) -> Record:
    return Record(kind="architecture.step.completed", step_key=step_name, data={"value": written(value), **more})


def check_open(asked: JournaledRun, known: JournaledRun, *, ended: bool) -> None:
    """Raise Conflict unless the run that is there may be taken over as the one asked for."""
    if (known.user_id, known.session_id, known.resumable) != (asked.user_id, asked.session_id, asked.resumable):
        raise Conflict(f"the journal {asked.id!r} belongs to another user, session or run", run_id=asked.id)
    if ended:
        raise Conflict(f"run {asked.id!r} has ended; start a new one", run_id=asked.id)


def read_record(kind: str, step_key: str, data: Any, version: int, bodies: Mapping[str, str]) -> Record:
    """A record from its columns and its run's blobs. Raises RuntimeJournalError for what this code has not written."""
    blobs.check_version(version)
    if not isinstance(data, Mapping):
        raise RuntimeJournalError(f"a journal row of step {step_key!r} holds no object", step_key=step_key)
    whole = blobs.unpack(data, bodies) if version >= blobs.WITH_BLOBS else dict(data)
    return Record(kind=kind, step_key=step_key, data=whole)


@dataclass
class _Kept:
    run: JournaledRun
    attempt: int = 0
    ended: bool = False
    rows: list[Row] = field(default_factory=list)


class InMemoryJournalStore(JournalStore):
    """Journals that live as long as this object. For tests, and to try out what a replay does."""

    def __init__(self) -> None:
        self._runs: dict[str, _Kept] = {}

    async def open(self, run: JournaledRun) -> int:
        kept = self._runs.setdefault(run.id, _Kept(replace(run, input=written(run.input))))
        check_open(run, kept.run, ended=kept.ended)
        kept.attempt += 1
        return kept.attempt

    async def append(self, appends: Sequence[Append[str]]) -> AbstractSet[str]:
        held = set()
        for append in appends:
            kept = self._runs.get(append.run_id)
            if kept is None or append.fence not in (None, kept.attempt):
                continue
            kept.rows += [Row(record, time.time()) for record in append.records]
            kept.ended = kept.ended or append.ends
            held.add(append.run_id)
        return held

    async def read(self, run_id: str, step_name: str | None = None) -> list[Row]:
        kept = self._runs.get(run_id)
        return [row for row in kept.rows if step_name in (None, row.record.step_key)] if kept is not None else []

    async def unfinished(
        self, *, user_id: str | Everyone | None = EVERYONE, session_id: str | None = None
    ) -> list[JournaledRun]:
        last = {(kept.run.user_id, kept.run.session_id): kept for kept in self._runs.values() if kept.run.resumable}
        return [
            kept.run
            for kept in self._runs.values()
            if last.get((kept.run.user_id, kept.run.session_id)) is kept
            and not kept.ended
            and user_id in (EVERYONE, kept.run.user_id)
            and session_id in (None, kept.run.session_id)
        ]

    async def forget(self, user_id: str | None, session_id: str | None = None) -> int:
        gone = [
            run_id
            for run_id, kept in self._runs.items()
            if kept.run.user_id == user_id and session_id in (None, kept.run.session_id)
        ]
        for run_id in gone:
            del self._runs[run_id]
        return len(gone)

    async def aclose(self) -> None:
        """Nothing to close; the journals stay."""

    def step_keys(self) -> list[tuple[str, str]]:
        """Session and name of every finished step, in the order in which they ended."""
        return self._keys(stream=False)

    def stream_keys(self) -> list[tuple[str, str]]:
        return self._keys(stream=True)

    def _keys(self, *, stream: bool) -> list[tuple[str, str]]:
        return [
            (kept.run.session_id, row.record.step_key)
            for kept in self._runs.values()
            for row in kept.rows
            if "value" in row.record.data and bool(row.record.data.get("stream")) is stream
        ]
