"""The core's ports on our rows: the journal of a run, its listener, and the conversation that earlier runs make."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID
from weakref import WeakValueDictionary

import anyio
from anyio.abc import TaskGroup
from django.db import DataError

from agents import stream
from agents.core.agent import prompt_of
from agents.core.runtime.journal import JournalSession
from agents.core.runtime.writer import Append, StoredJournal, Writer
from agents.models import Run
from governance.tenancy import unit
from loom.errors import Invalid
from loom.events import Event, EventKind
from loom.messages import Message, Role
from memory.core.nothing import Nothing

_DELTAS_A_SECOND = 20


Write = Callable[[UUID, Sequence[Append[UUID]]], Awaitable[Mapping[UUID, int]]]


class JournalWriter:
    """Writes the journals of all runs of this process, each tenant's by themselves, and tells who watches.

    `write` answers with the `seq` that each run's records begin after.
    """

    def __init__(self, write: Write, group: TaskGroup) -> None:
        self._write, self._group = write, group
        self._writers: WeakValueDictionary[UUID, Writer[UUID]] = WeakValueDictionary()

    def journal(self, tenant_id: UUID, run_id: UUID, fence: int) -> StoredJournal[UUID]:
        found = self._writers.get(tenant_id)
        if found is None:
            found = Writer(partial(self._write_and_tell, tenant_id), start=self._group.start_soon)
            self._writers[tenant_id] = found
        return found.journal_of(run_id, fence)

    async def _write_and_tell(self, tenant_id: UUID, appends: Sequence[Append[UUID]]) -> Mapping[UUID, int]:
        try:
            before = await self._write(tenant_id, appends)
        except DataError as error:
            raise Invalid(f"a record cannot be stored: {error}") from error
        for append in appends:
            if append.run_id in before:
                seq, kind = before[append.run_id] + len(append.records), append.records[-1].kind
                self._group.start_soon(stream.nudge, tenant_id, append.run_id, seq, kind)
        return before


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
