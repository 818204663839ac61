"""A runtime that remembers: steps over a store of journals.

runtime = JournaledRuntime()                    # in memory; SqliteRuntime and PostgresRuntime outlive the process
agent = Agent("…", runtime=runtime)
for run in await runtime.unfinished():          # after a crash
    await agent.resume(run.session_id, run.input, user_id=run.user_id)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import anyio

from agents.core.runtime.journal import JournalSession, signal_record
from agents.core.runtime.store import EVERYONE, Everyone, InMemoryJournalStore, JournaledRun, JournalStore
from agents.core.runtime.writer import Done, StoredJournal, Take, Writer
from loom.background import this_loop
from loom.context import RunContext
from loom.errors import NotFound
from loom.events import Kind, Record

_LINGER_SECONDS = 0.002  # about what a commit takes: a crash may lose as much that nobody waited for either way


class JournaledSession(JournalSession):
    """A session of a journaled runtime. A step that is taken again in the same session gives its first result too."""

    def _announce(self, record: Record) -> None:
        super()._announce(record)
        self._started[record.step_key] = record

    def _finish(self, record: Record) -> None:
        super()._finish(record)
        self._completed[record.step_key] = record


@dataclass
class _Opened:
    """A journal that is open here. A bare session may be entered several times at once."""

    run: JournaledRun
    session: JournaledSession
    journal: StoredJournal[str]
    entered: int = 0


class _Here:
    """What one event loop has open. Nothing of it outlives the block that opened it."""

    def __init__(self, store: JournalStore) -> None:
        self._opening = anyio.Lock()
        self.opened: dict[str, _Opened] = {}
        self._store, self._writer = store, Writer(self._submit, linger=_LINGER_SECONDS)

    async def open(self, run: JournaledRun, *, is_new: bool, is_shared: bool) -> _Opened:
        if is_shared:
            async with self._opening:
                return self.opened.get(run.id) or await self._look_for(run)
        if not is_new:
            return await self._look_for(run)
        opened = self._take_up(run, fence=1)
        opened.journal.begin()
        return opened

    def leave(self, opened: _Opened) -> None:
        opened.entered -= 1
        if not opened.entered and self.opened.get(opened.run.id) is opened:
            del self.opened[opened.run.id]

    async def _look_for(self, run: JournaledRun) -> _Opened:
        fence = await self._store.open(run)
        recorded = [row.record for row in await self._store.read(run.id)] if fence > 1 else []  # else it is new
        return self._take_up(run, fence=fence, recorded=recorded)

    def _take_up(self, run: JournaledRun, *, fence: int, recorded: Sequence[Record] = ()) -> _Opened:
        journal = self._writer.journal_of(run.id, fence)
        opened = self.opened[run.id] = _Opened(run, JournaledSession(run.session_id, journal, recorded), journal)
        return opened

    def _submit(self, take: Take[str], done: Done[str]) -> None:
        appends = take()
        self._store.submit([self.opened[append.run_id].run for append in appends if append.begins], appends, done)


_Entered = tuple[tuple["JournaledRuntime", JournaledSession], ...]
_entered: ContextVar[_Entered] = ContextVar("loom_journaled_sessions", default=())


class JournaledRuntime:
    """Steps over a store of journals. It serves any number of runs, users and event loops.

    Every run has a journal of its own, so none is ever answered with what another has said; `Agent.resume` goes on
    with a run that was cut off. `session(id)` is the bare form, for steps outside of agents: all who open the same id
    share one journal, whoever they are.
    """

    name = "journaled"

    def __init__(self, store: JournalStore | None = None) -> None:
        self._store = store if store is not None else InMemoryJournalStore()
        self._here: WeakKeyDictionary[object, _Here] = WeakKeyDictionary()  # of each event loop

    @property
    def store(self) -> JournalStore:
        return self._store

    def session(self, session_id: str) -> AbstractAsyncContextManager[JournaledSession]:
        """Steps in here are remembered under this id and their names, for good."""
        return _Block(self, self._on_this_loop(), JournaledRun.bare(session_id), is_shared=True)

    def run(
        self, context: RunContext, input: Any, *, path: str = "", is_new: bool = False
    ) -> AbstractAsyncContextManager[JournaledSession]:
        """A run of an agent, begun or taken up again: its id says which.

        A block that is left by an exception leaves the run unfinished. `path` is where it stands in a larger run. One
        whose id is `is_new` is not looked for: it is written down along with the first that it does.
        """
        run_id = f"{context.run_id}:{path}" if path else context.run_id
        run = JournaledRun(run_id, context.user_id, context.session_id or "", input, resumable=not path)
        return _Block(self, self._on_this_loop(), run, is_new=is_new)

    async def unfinished(
        self, *, user_id: str | Everyone | None = EVERYONE, session_id: str | None = None
    ) -> list[JournaledRun]:
        """The runs that `Agent.resume` would go on with, oldest first; of one user if it is named, None being nobody.

        A run that is under way somewhere is one of them: only its process knows. Whoever resumes it takes it over.
        """
        return await self._store.unfinished(user_id=user_id, session_id=session_id)

    async def forget(self, *, user_id: str | None, session_id: str | None = None) -> int:
        """Delete what is written of a user's runs, of one session if it is named; how many runs there were.

        None is nobody in particular: the runs without a user, and bare sessions. A run of them that is under way fails.
        """
        return await self._store.forget(user_id, session_id)

    async def signal(self, session_id: str, name: str, payload: Any, *, user_id: str | None = None) -> None:
        """Say something to a session, which reads it from `session.signals`.

        If it is not open on this event loop it is written down, for the user's unfinished run of this session or else
        the bare session, and is there when that is opened again. Raises NotFound for a user who has none.
        """
        here = self._on_this_loop()
        if said := [o for o in here.opened.values() if (o.run.user_id, o.run.session_id) == (user_id, session_id)]:
            for opened in said:
                await opened.session.deliver(name, payload)
            return
        unfinished = await self.unfinished(user_id=user_id, session_id=session_id)
        if not unfinished and user_id is not None:
            raise NotFound(f"user {user_id!r} has no unfinished run of session {session_id!r}", session_id=session_id)
        run = unfinished[0] if unfinished else JournaledRun.bare(session_id)
        await self._store.put(run, signal_record(name, payload))

    async def step(
        self,
        name: str,
        fn: Callable[..., Awaitable[Any]],
        *args: Any,
        idempotency_key: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """A step of the session around this call; outside of any it just runs."""
        if (session := self._session()) is None:
            return await fn(*args, **kwargs)
        return await session.step(name, fn, *args, idempotency_key=idempotency_key, **kwargs)

    async def stream_step(
        self, name: str, fn: Callable[..., AsyncIterator[Any]], *args: Any, **kwargs: Any
    ) -> AsyncIterator[Any]:
        session = self._session()
        stream = fn(*args, **kwargs) if session is None else session.stream_step(name, fn, *args, **kwargs)
        async for item in stream:
            yield item

    async def aclose(self) -> None:
        await self._store.aclose()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _session(self) -> JournaledSession | None:
        return next((session for runtime, session in _entered.get() if runtime is self), None)

    def _on_this_loop(self) -> _Here:
        loop = this_loop()
        here = self._here.get(loop)
        if here is None:
            here = self._here[loop] = _Here(self._store)
        return here


class _Block:
    """The `async with` around a session. It is left when all that was done in it is on disk or refused."""

    def __init__(
        self,
        runtime: JournaledRuntime,
        here: _Here,
        run: JournaledRun,
        *,
        is_new: bool = False,
        is_shared: bool = False,
    ) -> None:
        self._runtime, self._here, self._run = runtime, here, run
        self._is_new, self._is_shared = is_new, is_shared

    async def __aenter__(self) -> JournaledSession:
        self._opened = await self._here.open(self._run, is_new=self._is_new, is_shared=self._is_shared)
        self._opened.entered += 1
        self._around = _entered.get()
        _entered.set(((self._runtime, self._opened.session), *self._around))
        return self._opened.session

    async def __aexit__(self, failure: type[BaseException] | None, *details: object) -> None:
        journal = self._opened.journal
        try:
            if failure is None:
                if not self._is_shared:
                    journal.post(Record(kind=Kind.RUN_SUCCEEDED))
                await journal.flush()
        finally:
            _entered.set(self._around)
            if not journal.is_settled:
                with anyio.CancelScope(shield=True):  # what has been done must still be written
                    await journal.settle()
            self._here.leave(self._opened)
