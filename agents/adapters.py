"""The core's ports on our rows: the journal of a run, its listener, and the conversation that earlier runs make."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import anyio
from anyio.abc import TaskGroup
from django.db import DataError

from agents import stream
from agents.core.agent import prompt_of
from agents.core.runtime.journal import JournalSession
from agents.core.runtime.written import storable
from agents.models import Run
from governance.tenancy import unit
from loom.errors import Conflict, Invalid, Unavailable
from loom.events import Event, EventKind, Record
from loom.messages import Message, Role
from memory.core.nothing import Nothing

_DELTAS_A_SECOND = 20


@dataclass(frozen=True)
class Append:
    """Records for one run's journal, written under a fence."""

    run_id: UUID
    fence: int
    records: Sequence[Record]


Write = Callable[[UUID, Sequence[Append]], Awaitable[Mapping[UUID, int]]]


class JournalWriter:
    """Writes the journals of all runs of this process: one statement takes what has gathered while the last one ran.

    At most one statement is under way for a tenant, so each run's records keep their order; under load a statement
    carries many runs' records, so a hundred runs cost hardly more commits than one.
    """

    def __init__(self, write: Write, group: TaskGroup) -> None:
        self._write, self._group = write, group
        self._dirty: dict[UUID, dict[UUID, RunJournal]] = {}
        self._busy: set[UUID] = set()

    def journal(self, tenant_id: UUID, run_id: UUID, fence: int) -> RunJournal:
        return RunJournal(self, tenant_id, run_id, fence)

    def touch(self, journal: RunJournal) -> None:
        dirty = self._dirty.setdefault(journal.tenant_id, {})
        other = dirty.setdefault(journal.run_id, journal)
        if other is not journal:  # this process has taken up a run again that it holds already
            older, dirty[journal.run_id] = sorted((other, journal), key=lambda each: each.fence)
            older.refuse(_in_other_hands(older.run_id))
        if journal.tenant_id not in self._busy:
            self._busy.add(journal.tenant_id)
            self._group.start_soon(self._drain, journal.tenant_id)

    async def _drain(self, tenant_id: UUID) -> None:
        try:
            while journals := self._dirty.pop(tenant_id, None):
                # What a cancelled run has already done must still be written.
                with anyio.CancelScope(shield=True):
                    await self._write_batch(tenant_id, list(journals.values()))
        finally:
            self._busy.discard(tenant_id)

    async def _write_batch(self, tenant_id: UUID, journals: Sequence[RunJournal]) -> None:
        appends = [journal.take() for journal in journals]
        try:
            written = await self._write(tenant_id, appends)
        except DataError as error:
            if len(journals) == 1:
                journals[0].refuse(Invalid(f"a record cannot be stored: {error}", run_id=str(journals[0].run_id)))
                return
            for journal, append in zip(journals, appends, strict=True):  # one run's bad record is not the others' fault
                journal.put_back(append)
                await self._write_batch(tenant_id, [journal])
            return
        except Exception as error:  # whatever the database says, the runs must hear that nothing was written
            for journal in journals:
                journal.refuse(Unavailable(f"the journal cannot be written: {error}", run_id=str(journal.run_id)))
            return
        for journal, append in zip(journals, appends, strict=True):
            if append.run_id not in written:
                journal.refuse(_in_other_hands(append.run_id))
                continue
            journal.confirm()
            seq = written[append.run_id] + len(append.records)
            self._group.start_soon(stream.nudge, tenant_id, append.run_id, seq, append.records[-1].kind)


def _in_other_hands(run_id: UUID) -> Conflict:
    return Conflict(f"run {run_id} is in other hands now", run_id=str(run_id))


class RunJournal:
    """The journal of one run, as its worker writes it."""

    def __init__(self, writer: JournalWriter, tenant_id: UUID, run_id: UUID, fence: int) -> None:
        self.tenant_id, self.run_id = tenant_id, run_id
        self._writer, self.fence = writer, fence
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
        goal = self._posted
        while self._confirmed < goal and self._refused is None:
            await self._changed.wait()
        if self._refused is not None:
            raise self._refused

    def take(self) -> Append:
        records, self._pending = self._pending, []
        self._taken = len(records)
        return Append(self.run_id, self.fence, records)

    def put_back(self, append: Append) -> None:
        """What was taken and not written goes before what has come since."""
        self._pending = [*append.records, *self._pending]

    def confirm(self) -> None:
        self._confirmed += self._taken
        self._wake()

    def refuse(self, reason: Exception) -> None:
        self._refused = reason
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


class Listener:
    """Takes the SDK's events of one run: text goes to the watchers as it comes, what is no step goes to the journal."""

    def __init__(self, session: JournalSession, tenant_id: UUID, run_id: UUID, group: TaskGroup) -> None:
        self._session, self._group = session, group
        self._deltas = stream.Deltas(tenant_id, run_id)
        self._texts: dict[str, str] = {}
        self._publishing = False

    async def __call__(self, event: Event) -> None:
        if event.kind is not EventKind.MODEL_CHUNK:
            self._session.note(event)
            return
        chunk, step_key = event.payload["chunk"], event.payload["step_key"]
        if chunk.kind == "finish":
            self._texts.pop(step_key, None)
        elif chunk.text:
            self._texts[step_key] = self._texts.get(step_key, "") + chunk.text
            if not self._publishing:
                self._publishing = True
                self._group.start_soon(self._publish)

    async def _publish(self) -> None:
        """Publish, then gather for a twentieth of a second before publishing again."""
        try:
            shown: dict[str, str] = {}
            while self._texts and shown != self._texts:
                shown = dict(self._texts)
                await self._deltas.publish(shown)
                await anyio.sleep(1 / _DELTAS_A_SECOND)
        finally:
            self._publishing = False


class Conversation(Nothing):
    """Memory made of the journal: the earlier runs of a session are its history. Nothing is stored twice.

    Only what had ended when the run was accepted counts, so it answers alike whenever the run is replayed.
    """

    answers_alike = True

    def __init__(self, tenant_id: UUID, run_id: UUID, accepted_at: datetime) -> None:
        self._tenant_id, self._run_id, self._accepted_at = tenant_id, run_id, accepted_at

    async def session_messages(self, session_id: str, *, user_id: str | None = None, limit: int = 20) -> list[Message]:
        if session_id == session_of(self._run_id):
            return []  # it began with this run
        return await unit(self._tenant_id, self._read)(session_id, user_id, limit // 2)

    def _read(self, session_id: str, user_id: str | None, limit: int) -> list[Message]:
        runs = Run.objects.filter(
            tenant_id=self._tenant_id,
            user_id=user_id,
            session_id=session_id,
            status=Run.Status.SUCCEEDED,
            finished_at__lt=self._accepted_at,
        ).newest_first()
        messages: list[Message] = []
        for run in reversed(runs.only("input", "output")[:limit]):
            messages.append(Message(role=Role.USER, content=prompt_of(run.input)))
            messages.append(Message(role=Role.ASSISTANT, content=run.output or ""))
        return messages


def session_of(run_id: UUID) -> str:
    """The session of a run that was started without one."""
    return f"sess_{run_id.hex}"
