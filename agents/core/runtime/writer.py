"""Writing the journals of many runs at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet

import anyio

from agents.core import background
from agents.core.runtime.store import Append
from agents.core.runtime.written import storable
from loom.errors import Conflict, LoomError, Unavailable
from loom.events import Record

Write = Callable[[Sequence[Append]], Awaitable[AbstractSet[str]]]


class Writer:
    """Writes the journals of all runs on one event loop: one transaction takes what has gathered while the last ran.

    At most one is under way, so each run's records keep their order; many runs cost hardly more commits than one.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._dirty: dict[int, StoredJournal] = {}
        self._busy = False

    def journal_of(self, run_id: str, fence: int) -> StoredJournal:
        return StoredJournal(self, run_id, fence)

    def touch(self, journal: StoredJournal) -> None:
        self._dirty[id(journal)] = journal
        if not self._busy:
            self._busy = True
            background.start(self._drain)

    async def _drain(self) -> None:
        try:
            while journals := list(self._dirty.values()):
                self._dirty = {}
                # What a cancelled run has already done must still be written.
                with anyio.CancelScope(shield=True):
                    await self._write_batch(journals)
        finally:
            self._busy = False

    async def _write_batch(self, journals: Sequence[StoredJournal]) -> None:
        appends = [journal.take() for journal in journals]
        try:
            held = await self._write(appends)
        except LoomError as error:
            for journal in journals:
                journal.refuse(error)
            return
        except Exception as error:  # whatever the store says, the runs must hear that nothing was written
            for journal in journals:
                journal.refuse(Unavailable(f"the journal cannot be written: {error}", run_id=journal.run_id))
            return
        for journal in journals:
            if journal.run_id in held:
                journal.confirm()
            else:
                said = f"run {journal.run_id!r} was taken over by a later attempt"
                journal.refuse(Conflict(said, run_id=journal.run_id))


class StoredJournal:
    """The journal of one run, as one attempt at it writes it."""

    def __init__(self, writer: Writer, run_id: str, fence: int) -> None:
        self.run_id = run_id
        self._writer, self._fence = writer, fence
        self._pending: list[Record] = []
        self._posted = self._confirmed = self._taken = 0
        self._changed = anyio.Event()
        self._refused: Exception | None = None

    def post(self, record: Record) -> None:
        if self._refused is not None:
            raise self._refused
        self._pending.append(record.model_copy(update={"data": storable(record.data)}))
        self._posted += 1
        self._writer.touch(self)

    async def flush(self) -> None:
        await self.settle()
        if self._refused is not None:
            raise self._refused

    async def settle(self) -> None:
        """Return when all that was posted is on disk or refused."""
        goal = self._posted
        while self._confirmed < goal and self._refused is None:
            await self._changed.wait()

    def take(self) -> Append:
        records, self._pending = self._pending, []
        self._taken = len(records)
        return Append(self.run_id, self._fence, records)

    def confirm(self) -> None:
        self._confirmed += self._taken
        self._wake()

    def refuse(self, reason: Exception) -> None:
        self._refused = reason
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
