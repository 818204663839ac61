"""Writing the journals of many runs at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Coroutine, Hashable, Iterable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import anyio

from agents.core import faults
from loom import background
from loom.errors import Conflict, Invalid, LoomError, Unavailable
from loom.events import Kind, Record

RunId = TypeVar("RunId", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Append(Generic[RunId]):
    """Records for one run. With a `fence` they are written only while that attempt holds the run.

    With `begins` the run is not written down yet; it may have no records then.
    """

    run_id: RunId
    fence: int | None
    records: Sequence[Record]
    begins: bool = False

    @property
    def ends(self) -> bool:
        return any(record.kind in Kind.TERMINAL for record in self.records)


Write = Callable[[Sequence[Append[RunId]]], Awaitable[Container[RunId]]]
Take = Callable[[], Sequence[Append[RunId]]]
Done = Callable[[Container[RunId] | None, BaseException | None], object]
Submit = Callable[[Take[RunId], Done[RunId]], object]
Work = Callable[[], Coroutine[Any, Any, None]]


def _apart(work: Work) -> None:
    background.spawn(work, Context())  # it belongs to no run


def in_tasks(write: Write[RunId], start: Callable[[Work], object] = _apart) -> Submit[RunId]:
    """Write in tasks that nobody cancels: what a cancelled run has already done must still be written."""

    def submit(take: Take[RunId], done: Done[RunId]) -> None:
        async def work() -> None:
            held, failure = None, None
            try:
                if appends := take():
                    held = await write(appends)
            except BaseException as error:
                failure = error
                if not isinstance(error, Exception):
                    raise
            finally:
                done(held, failure)

        start(work)

    return submit


class Writer(Generic[RunId]):
    """Writes the journals of all runs of one store on one event loop: what has gathered while the last write ran goes
    with the next.

    At most one write is under way, so each run's records keep their order; many runs cost hardly more commits than
    one. What nobody waits for gathers for `linger` seconds. `submit` writes what it takes and then tells, on this
    event loop, which runs were written to, or why none was: Invalid is for a record that cannot be written.
    """

    def __init__(self, submit: Submit[RunId], *, linger: float = 0.0) -> None:
        self._submit, self._linger = submit, linger
        self._dirty: dict[RunId, StoredJournal[RunId]] = {}
        self._batch: _Batch[RunId] = ()  # that is under way
        self._again: list[_Batch[RunId]] = []
        self._busy = self._lingers = False

    def journal_of(self, run_id: RunId, fence: int) -> StoredJournal[RunId]:
        return StoredJournal(self, run_id, fence)

    def touch(self, journal: StoredJournal[RunId]) -> None:
        other = self._dirty.setdefault(journal.run_id, journal)
        if other is not journal:  # a run that is held here already was taken up once more
            older, self._dirty[journal.run_id] = sorted((other, journal), key=lambda each: each.fence)
            older.refuse(taken_over(older.run_id))
        if not self._linger:
            self.hurry()
        elif not self._lingers and not self._busy:
            self._lingers = True
            background.later(self._linger, self._end_linger)

    def hurry(self) -> None:
        """Write what has gathered: somebody waits for it."""
        if (self._dirty or self._again) and not self._busy:
            self._busy = True
            self._submit(self._take, self._end)

    def _end_linger(self) -> None:
        self._lingers = False
        self.hurry()

    def _take(self) -> Sequence[Append[RunId]]:
        if self._again:
            self._batch = self._again.pop()
        else:
            journals, self._dirty = self._dirty.values(), {}
            self._batch = [(each, each.take()) for each in journals if not each.is_refused]
        return [append for _, append in self._batch]

    def _end(self, held: Container[RunId] | None, failure: BaseException | None) -> None:
        batch, self._batch, self._busy = self._batch, (), False
        if isinstance(failure, Invalid) and len(batch) > 1:
            self._again = [[one] for one in reversed(batch)]  # one run's bad record is not the others' fault
        elif isinstance(failure, LoomError):
            _refuse(batch, failure)
        elif failure is not None:  # whatever the store says, the runs must hear that nothing was written
            _refuse(batch, Unavailable(f"the journal cannot be written: {str(failure) or type(failure).__name__}"))
        else:
            _confirm(batch, held or ())
        self.hurry()


class StoredJournal(Generic[RunId]):
    """The journal of one run, as one attempt at it writes it. Once a write was refused, nothing follows it."""

    def __init__(self, writer: Writer[RunId], run_id: RunId, fence: int) -> None:
        self.run_id, self.fence = run_id, fence
        self._writer = writer
        self._pending: list[Record] = []
        self._begins = False
        self._posted = self._confirmed = 0
        self._changed: anyio.Event | None = None  # while somebody waits
        self._refused: LoomError | None = None

    @property
    def is_refused(self) -> bool:
        return self._refused is not None

    @property
    def is_settled(self) -> bool:
        """Whether all that was posted is on disk or refused."""
        return self._confirmed == self._posted or self.is_refused

    def begin(self) -> None:
        """Write down that the run is there, with whatever is posted until that is written."""
        self._begins = True
        self._posted += 1
        self._writer.touch(self)

    def post(self, record: Record) -> None:
        if faults.armed:
            self._meet_fault(record)
        if self._refused is not None:
            raise self._refused
        self._pending.append(record)
        self._posted += 1
        self._writer.touch(self)

    async def flush(self) -> None:
        await self.settle()
        if self._refused is not None:
            raise self._refused

    async def settle(self) -> None:
        """Return when all that has been posted by now is on disk or refused."""
        goal = self._posted
        self._writer.hurry()
        while self._confirmed < goal and self._refused is None:
            self._changed = self._changed or anyio.Event()
            await self._changed.wait()

    def take(self) -> Append[RunId]:
        taken = Append(self.run_id, self.fence, self._pending, self._begins)
        self._pending, self._begins = [], False
        return taken

    def confirm(self, count: int) -> None:
        self._confirmed += count
        self._wake()

    def refuse(self, reason: LoomError) -> None:
        self._refused = reason
        self._wake()

    def _meet_fault(self, record: Record) -> None:
        """Reach the point that this record stands for. A failure there is one of the journal, for good."""
        try:
            if record.kind in Kind.TERMINAL:
                faults.reach("before_finish")
            elif "value" in record.data:
                faults.reach("after_effect_before_checkpoint")
            elif record.kind.endswith(".started"):
                faults.reach("before_step")
        except faults.Fault as fault:
            self.refuse(fault)

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None


_Batch = Sequence[tuple[StoredJournal[RunId], Append[RunId]]]


def _confirm(batch: _Batch[RunId], held: Container[RunId]) -> None:
    for journal, append in batch:
        if append.run_id in held:
            journal.confirm(len(append.records) + append.begins)
        else:
            journal.refuse(taken_over(append.run_id))


def _refuse(batch: Iterable[tuple[StoredJournal[Any], object]], reason: LoomError) -> None:
    for journal, _ in batch:
        journal.refuse(reason)


def taken_over(run_id: Hashable) -> Conflict:
    return Conflict(f"run {str(run_id)!r} was taken over by a later attempt", run_id=str(run_id))
