"""The core's ports on our rows: the journal of a run, its listener, and the conversation that earlier runs make."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from contextvars import copy_context
from datetime import datetime
from functools import partial
from typing import Any, Self, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

import anyio
from anyio.abc import TaskGroup
from django.db import DataError, connection, transaction
from django.db import Error as DatabaseFailure

from agents import stream
from agents.core import faults
from agents.core.agent import prompt_of
from agents.core.runtime.journal import JournalSession
from agents.core.runtime.writer import Append, StoredJournal, Writer, in_tasks, taken_over
from agents.models import Run
from governance.tenancy import scope, unit
from loom.errors import Interrupted, Invalid, LoomError
from loom.events import Event, EventKind, Record
from loom.messages import Message, Role
from memory.core.nothing import Nothing

_DELTAS_A_SECOND = 20
_TRANSACTIONS = 4  # at a time, of the connections that a process has


Write = Callable[[UUID, Sequence[Append[UUID]]], Awaitable[Mapping[UUID, int]]]
AppendNow = Callable[[Sequence[Append[UUID]]], Mapping[UUID, int]]
Tell = Callable[[UUID, Sequence[Append[UUID]], Mapping[UUID, int]], None]
T = TypeVar("T")

log = logging.getLogger(__name__)


class JournalWriter:
    """Writes the journals of all runs of this process, each tenant's by themselves, and tells who watches.

    `write` answers with the `seq` that each run's records begin after; `append` does the same within a transaction
    that is open.
    """

    def __init__(self, write: Write, group: TaskGroup, append: AppendNow | None = None) -> None:
        self._write, self._group, self._append = write, group, append
        self._nudges = stream.Nudges(group.start_soon)
        self._transactions = anyio.CapacityLimiter(_TRANSACTIONS)
        self._writers: WeakValueDictionary[UUID, Writer[UUID]] = WeakValueDictionary()

    def journal(self, tenant_id: UUID, run_id: UUID, fence: int) -> StoredJournal[UUID]:
        found = self._writers.get(tenant_id)
        if found is None:
            found = Writer(in_tasks(partial(self._write_and_tell, tenant_id), self._start))
            self._writers[tenant_id] = found
        return RunJournal(found, tenant_id, run_id, fence, self)

    def _start(self, work: Callable[[], Awaitable[None]]) -> None:
        self._group.start_soon(_shielded, work)

    @asynccontextmanager
    async def transaction_of(self, journal: RunJournal) -> AsyncIterator[RunTransaction]:
        assert self._append is not None, "a writer without `append` is a test's"
        async with self._transactions, RunTransaction(journal, self._append, self._tell) as opened:
            yield opened

    async def _write_and_tell(self, tenant_id: UUID, appends: Sequence[Append[UUID]]) -> Mapping[UUID, int]:
        try:
            before = await self._write(tenant_id, appends)
        except DataError as error:
            raise Invalid(f"a record cannot be stored: {error}") from error
        self._tell(tenant_id, appends, before)
        return before

    def _tell(self, tenant_id: UUID, appends: Sequence[Append[UUID]], before: Mapping[UUID, int]) -> None:
        for append in appends:
            if append.run_id in before:
                seq, kind = before[append.run_id] + len(append.records), append.records[-1].kind
                self.nudge(tenant_id, append.run_id, seq, kind)

    def nudge(self, tenant_id: UUID, run_id: UUID, seq: int, kind: str) -> None:
        """Tell who watches that the run's journal reaches `seq`, soon."""
        self._nudges.add(tenant_id, run_id, seq, kind)


async def _shielded(work: Callable[[], Awaitable[None]]) -> None:
    with anyio.CancelScope(shield=True):
        await work()


class RunJournal(StoredJournal[UUID]):
    """A run's journal in the platform's database, where a step can share its transaction."""

    def __init__(
        self, writer: Writer[UUID], tenant_id: UUID, run_id: UUID, fence: int, journals: JournalWriter
    ) -> None:
        super().__init__(writer, run_id, fence)
        self.tenant_id, self._journals = tenant_id, journals

    def transaction(self) -> AbstractAsyncContextManager[RunTransaction]:
        return self._journals.transaction_of(self)


class RunTransaction:
    """A transaction in the run's tenant scope, in a thread of its own: connections belong to threads.

    What the step does and the record of it are committed together, under the run's fence; or neither is. What a
    function did is undone when it raises, or when it is not waited for any longer.
    """

    def __init__(self, journal: RunJournal, append: AppendNow, tell: Tell) -> None:
        self._journal, self._append, self._tell = journal, append, tell
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="transaction")
        self._open = ExitStack()
        self._given_up = False

    async def __aenter__(self) -> Self:
        try:
            await self._in_thread(lambda: self._open.enter_context(scope(self._journal.tenant_id)))
        except BaseException as error:
            await self.__aexit__()
            if isinstance(error, DatabaseFailure):
                raise self._refused(_away(error)) from error
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._thread.submit(self._close)  # after whatever still runs there
        self._thread.shutdown(wait=False)

    async def call(self, function: Callable[[], Any]) -> Any:
        def call() -> Any:
            with transaction.atomic():
                return function()

        try:
            return await self._in_thread(call)
        except asyncio.CancelledError:  # of a timeout's, for example: the function still runs
            self._given_up = True
            raise

    async def commit(self, record: Record) -> None:
        if self._given_up:
            self._journal.post(record)
            return
        await self._journal.flush()
        append = Append(self._journal.run_id, self._journal.fence, [record])
        try:
            with anyio.CancelScope(shield=True):  # whoever ends the run must find it done or not done
                before = await self._in_thread(partial(self._commit, append))
        except DataError as error:
            raise self._refused(Invalid(f"a record cannot be stored: {error}")) from error
        except DatabaseFailure as error:
            raise self._refused(_away(error)) from error
        except LoomError as error:
            raise self._refused(error) from None
        self._tell(self._journal.tenant_id, [append], before)

    def _commit(self, append: Append[UUID]) -> Mapping[UUID, int]:
        faults.reach("after_effect_before_checkpoint")
        before = self._append([append])
        if append.run_id not in before:
            raise taken_over(append.run_id)
        self._open.close()
        faults.reach("after_checkpoint")
        return before

    def _refused(self, reason: LoomError) -> LoomError:
        self._journal.refuse(reason)
        return reason

    def _close(self) -> None:
        """Roll back what is not committed."""
        try:
            self._open.__exit__(Abandoned, Abandoned(), None)
        except Abandoned:
            pass
        except DatabaseFailure as error:
            log.warning("a transaction could not be rolled back, the server does it: %s", error)
        finally:
            connection.close()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        context = copy_context()
        return await asyncio.wrap_future(self._thread.submit(context.run, work))


def _away(error: Exception) -> Interrupted:
    return Interrupted(f"the database does not answer: {error}")


class Abandoned(Exception):
    """What the scope of a transaction is told that is not to be committed."""


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

    def __init__(self, tenant_id: UUID, run_id: UUID, heard_until: datetime) -> None:
        self._tenant_id, self._run_id, self._heard_until = tenant_id, run_id, heard_until

    async def session_messages(self, session_id: str, *, user_id: str | None = None, limit: int = 20) -> list[Message]:
        if session_id == session_of(self._run_id):
            return []  # it began with this run
        try:
            return await unit(self._tenant_id, self._read)(session_id, user_id, limit // 2)
        except DatabaseFailure as error:
            raise _away(error) from error

    def _read(self, session_id: str, user_id: str | None, limit: int) -> list[Message]:
        runs = Run.objects.filter(
            tenant_id=self._tenant_id,
            user_id=user_id,
            session_id=session_id,
            status=Run.Status.SUCCEEDED,
            finished_at__lt=self._heard_until,
        ).newest_first()
        messages: list[Message] = []
        for run in reversed(runs.only("input", "output")[:limit]):
            messages.append(Message(role=Role.USER, content=prompt_of(run.input)))
            messages.append(Message(role=Role.ASSISTANT, content=run.output or ""))
        return messages


def session_of(run_id: UUID) -> str:
    """The session of a run that was started without one."""
    return f"sess_{run_id.hex}"
