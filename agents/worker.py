"""The part of a worker process that runs agents: one event loop for all the runs it holds.

A wake-up, or five seconds, or a finished run: look for work. Claim what there is room for, advance each run on the
loop, renew the leases from a thread of their own. Nothing here decides anything about a run: its rows do.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from uuid import UUID

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
from anyio.abc import TaskGroup
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import Error as DatabaseFailure
from django.db import connection

from agents import assembly, queue, services, stream
from agents.adapters import Conversation, JournalWriter, Listener
from agents.core import faults
from agents.core.ambient import Ambient
from agents.core.runtime import engine
from agents.core.runtime.brake import Brake
from agents.core.runtime.deadline import WithinDeadline
from agents.core.runtime.journal import JournalSession
from agents.core.runtime.unwinding import UnwindingSession
from agents.core.runtime.waiting import WaitingSession
from agents.core.runtime.writer import Append
from agents.models import Run
from agents.services import Claim
from governance.tenancy import in_thread, scheduler_scope, scheduler_unit, unit
from loom.context import RunContext
from loom.errors import Invalid, LoomError, Unavailable
from loom.events import Kind, Record

LOOK_AGAIN_SECONDS = 5.0
HEED_SECONDS = 1.0
MOST_CRASHES = 5
TICK_SECONDS = 2.0
_BATCH = 32
_REST_SECONDS = 0.1

log = logging.getLogger(__name__)


class DeadLetter(LoomError):
    """A run whose workers died again and again. A person may start it again; nobody else does."""

    retryable = True


class Worker:
    """What this process holds. `wake` and `stop` may be called from any thread."""

    def __init__(self, concurrency: int, lease_seconds: float, grace_seconds: float = 0.0) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}"
        self._concurrency, self._lease_seconds, self._grace_seconds = concurrency, lease_seconds, grace_seconds
        self._brakes: dict[tuple[UUID, int], Brake] = {}
        self._dropped: set[UUID] = set()
        self._held: dict[tuple[UUID, int], anyio.CancelScope] = {}
        self._draining = False
        self._look = anyio.Event()
        self._scope = anyio.CancelScope()

    @property
    def capacity(self) -> int:
        """How many runs it holds at most."""
        return self._concurrency

    @property
    def run_ids(self) -> set[UUID]:
        """The runs that are being advanced here."""
        return {run_id for run_id, _ in tuple(self._held)}

    def wake(self) -> None:
        """There may be work."""
        self._look.set()

    def drain(self) -> None:
        """Take no more work, finish the steps in hand while there is time, and give the leases back."""
        self._draining = True
        self.wake()

    async def run(self) -> None:
        """Look for work until drained."""
        with self._scope:
            async with anyio.create_task_group() as group:
                writer = JournalWriter(_write, group, services.append_events)
                group.start_soon(self._heed)
                while not self._draining:
                    claimed = await self._claim()
                    for claim in claimed:
                        self._held[claim.run_id, claim.fence] = anyio.CancelScope()
                        group.start_soon(self._advance, claim, writer, group)
                    if len(claimed) < _BATCH and not self._draining:
                        await self._wait()
                await self._come_to_rest()
                self._scope.cancel()
        with anyio.CancelScope(shield=True):
            await self._release(None)

    async def _claim(self) -> Sequence[Claim]:
        self._look = anyio.Event()  # a wake-up during the claim must not be lost
        room = min(_BATCH, self._concurrency - len(self._held))
        if room <= 0:
            return []
        try:
            await self._give_back()
            claimed = await scheduler_unit(services.claim_runs)(
                owner=self.owner, limit=room, lease_seconds=self._lease_seconds
            )
            if len(claimed) == room:  # there may be more than this worker takes: the word goes on to another
                await anyio.to_thread.run_sync(queue.wake_workers)
            return claimed
        except (DatabaseFailure, Unavailable):
            log.exception("runs cannot be claimed; looking again in %s s", LOOK_AGAIN_SECONDS)
            return []

    async def _give_back(self) -> None:
        """Hand over the runs that this worker could not go on with, now that the database answers again."""
        if dropped := tuple(self._dropped - self.run_ids):
            await scheduler_unit(services.release_runs)(owner=self.owner, run_ids=dropped)
            self._dropped.difference_update(dropped)

    async def _come_to_rest(self) -> None:
        """Let the steps in hand end, and give back each run as soon as it has none."""
        for brake in self._brakes.values():
            brake.pull()
        at_rest: set[UUID] = set()
        with anyio.move_on_after(self._grace_seconds):
            while any(brake.in_hand for brake in self._brakes.values()):
                resting = {run_id for (run_id, _), brake in self._brakes.items() if not brake.in_hand} - at_rest
                if resting:
                    await self._release(resting)
                    await anyio.to_thread.run_sync(queue.wake_workers)
                    at_rest |= resting
                await anyio.sleep(_REST_SECONDS)

    async def _release(self, run_ids: set[UUID] | None) -> None:
        """Give back these runs, or all. What cannot be given back is taken when its lease has run out."""
        try:
            await scheduler_unit(services.release_runs)(owner=self.owner, run_ids=run_ids)
        except DatabaseFailure:
            log.exception("runs are not given back")

    async def _heed(self) -> None:
        """Stop the runs that somebody has cancelled: whatever they wait for is cancelled at once."""
        while True:
            await anyio.sleep(HEED_SECONDS)
            if not self._held:
                continue
            try:
                for held in await scheduler_unit(services.find_cancelled)(owner=self.owner):
                    if held in self._held:
                        self._held[held].cancel()
            except DatabaseFailure:
                log.exception("who was cancelled is not known; looking again in %s s", HEED_SECONDS)

    async def _wait(self) -> None:
        with anyio.move_on_after(LOOK_AGAIN_SECONDS):
            await self._look.wait()

    async def _advance(self, claim: Claim, writer: JournalWriter, group: TaskGroup) -> None:
        held = (claim.run_id, claim.fence)
        brake = self._brakes[held] = Brake()
        if self._draining:
            brake.pull()
        try:
            with self._held[held] as scope:
                if claim.status == Run.Status.CANCELLING:
                    scope.cancel()
                    await anyio.lowlevel.checkpoint()
                await _advance_or_fail(claim, writer, group, brake)
            if scope.cancelled_caught:
                await unwind_run(claim, writer)
        except (Unavailable, DatabaseFailure) as error:  # not the run's fault: it goes on when the database is back
            log.warning("run %s was dropped: %s", claim.run_id, error)
            self._dropped.add(claim.run_id)
        except Exception:  # the run stays in the journal as it is; its lease runs out and somebody takes it up
            log.exception("run %s was dropped", claim.run_id)
        finally:
            was_full = len(self._held) >= self._concurrency
            self._held.pop(held, None)
            self._brakes.pop(held, None)
            # A wake-up that came meanwhile found no room, or not for a run that is watched; else each brings its own.
            if was_full or claim.is_limited or claim.crashes or claim.run_id in self._dropped:
                self.wake()


async def _advance_or_fail(claim: Claim, writer: JournalWriter, group: TaskGroup, brake: Brake) -> None:
    try:
        faults.reach("after_claim")
        await advance_run(claim, writer, group, brake)
    except Invalid as error:  # it would end the same way at every attempt
        await _fail(claim, error)


async def advance_run(
    claim: Claim, writer: JournalWriter, group: TaskGroup, brake: Brake | None = None
) -> engine.Outcome:
    """Take a claimed run from wherever its journal stops to its end or to a wait."""
    tenant_id, run_id = claim.tenant_id, claim.run_id
    writer.nudge(tenant_id, run_id, claim.last_seq, Kind.RUN_RESUMED)  # lists show that it runs
    journal = writer.journal(tenant_id, run_id, claim.fence)
    if claim.crashes >= MOST_CRASHES:
        return await engine.fail(_dead_letter(claim), journal)
    try:
        program = await _program_of(claim)
    except LoomError as error:
        return await engine.fail(error, journal)
    recorded: list[Record] = []
    if claim.last_seq > 1:
        recorded = await unit(tenant_id, services.read_records)(run_id)
        journal.post(Record(kind=Kind.RUN_RESUMED, data={"attempt": claim.attempt}))
    if claim.seconds_left is not None:
        program = WithinDeadline(program, claim.seconds_left)
    session = WaitingSession(claim.session_id, journal, recorded)
    session.brake = brake or session.brake
    ambient = _surroundings(claim, session, Listener(session, tenant_id, run_id, group))
    return await engine.advance(program, claim.input, ambient, journal, output_schema=claim.output_schema)


def _dead_letter(claim: Claim) -> DeadLetter:
    said = (
        f"{claim.crashes} workers in a row died with this run before it finished another step, so it is not tried "
        f"again by itself (attempt {claim.attempt}): find out why in the workers' logs, then retry the run"
    )
    return DeadLetter(said, run_id=str(claim.run_id), crashes=claim.crashes, attempt=claim.attempt)


async def unwind_run(claim: Claim, writer: JournalWriter) -> None:
    """End a claimed run that somebody has cancelled."""
    journal = writer.journal(claim.tenant_id, claim.run_id, claim.fence)
    if claim.crashes >= MOST_CRASHES:  # undoing what it did kills workers too
        await engine.fail(_dead_letter(claim), journal)
        return
    recorded = await unit(claim.tenant_id, services.read_records)(claim.run_id)
    session = UnwindingSession(claim.session_id, journal, recorded)
    wishes = [record.data["compensate"] for record in recorded if record.kind == Kind.RUN_CANCELLING]
    program = await _program_of(claim) if any(wishes) else None
    await engine.unwind(program, claim.input, _surroundings(claim, session), session, journal)


async def _program_of(claim: Claim) -> engine.Program:
    known = assembly.find_program(claim.version_id)
    return known or await unit(claim.tenant_id, assembly.program_for)(claim.version_id)


def _surroundings(claim: Claim, session: JournalSession, listener: Listener | None = None) -> Ambient:
    return Ambient(
        RunContext(claim.user_id, claim.session_id, str(claim.run_id), claim.metadata),
        runtime=session,
        memory=Conversation(claim.tenant_id, claim.run_id, claim.heard_until),
        emit=listener,
        streaming=listener is not None,
    )


async def _fail(claim: Claim, error: LoomError) -> None:
    """End a run whose journal takes nothing more of it."""
    record = Record(kind=Kind.RUN_FAILED, data={"error": engine.describe(error)})
    written = await _write(claim.tenant_id, [Append(claim.run_id, claim.fence, [record])])
    if claim.run_id in written:
        await stream.nudge(claim.tenant_id, claim.run_id, written[claim.run_id] + 1, record.kind)


async def _write(tenant_id: UUID, appends: Sequence[Append[UUID]]) -> Mapping[UUID, int]:
    written = await in_thread(services.write_events)(tenant_id, appends)
    faults.reach("after_checkpoint")
    return written


# --- the process ------------------------------------------------------------------------------------------------------


class Process:
    """A worker on a loop in a thread, and the thread that renews its leases."""

    def __init__(self) -> None:
        assembly.load_modules()
        get_channel_layer()  # imported here and not at the first event, when runs would wait for it
        lease_seconds = settings.LOOM.lease_seconds
        self._loop = ExitStack()
        self._portal = self._loop.enter_context(
            anyio.from_thread.start_blocking_portal("asyncio", {"use_uvloop": True}, name="runs")
        )
        grace_seconds = settings.LOOM.grace_seconds
        self.worker = self._portal.call(partial(Worker, settings.LOOM.worker_concurrency, lease_seconds, grace_seconds))
        self._running = self._portal.start_task_soon(self.worker.run)
        self._running.add_done_callback(_end_with)
        self._stopping = threading.Event()
        self._heart = threading.Thread(
            target=_renew, args=(self.worker, lease_seconds, self._stopping), name="leases", daemon=True
        )
        self._heart.start()
        self._clock = threading.Thread(target=_tick, args=(self._stopping,), name="clock", daemon=True)
        self._clock.start()

    def wake(self) -> None:
        self._portal.start_task_soon(self._call, self.worker.wake)

    @staticmethod
    async def _call(function: Callable[[], None]) -> None:
        function()

    def stop(self) -> None:
        """Drain: the leases are given back, so another process goes on at once."""
        self._portal.start_task_soon(self._call, self.worker.drain)
        self._running.result(timeout=settings.LOOM.grace_seconds + settings.LOOM.lease_seconds)
        self._stopping.set()
        self._heart.join(timeout=1)
        self._loop.close()


def _end_with(running: Future[None]) -> None:
    """A worker that looks for no more work must not look alive: whoever supervises processes starts another."""
    if not running.cancelled() and (error := running.exception()) is not None:
        log.critical("this worker can do nothing more and ends", exc_info=error)
        os._exit(70)


def _renew(worker: Worker, lease_seconds: float, stopping: threading.Event) -> None:
    """Renew the leases three times in their length, on a connection of its own, whatever the loop is busy with."""
    _report(worker)
    while not stopping.wait(lease_seconds / 3):
        try:
            with scheduler_scope():
                services.renew_leases(owner=worker.owner, run_ids=worker.run_ids, lease_seconds=lease_seconds)
        except DatabaseFailure:
            log.exception("the leases of this worker are not renewed")
            connection.close()
        _report(worker)
    _report(worker, has_ended=True)


def _report(worker: Worker, *, has_ended: bool = False) -> None:
    """Let people see that this worker lives. Nothing depends on it."""
    try:
        if has_ended:
            services.forget_worker(owner=worker.owner)
        else:
            services.report_worker(owner=worker.owner, held=len(worker.run_ids), capacity=worker.capacity)
    except DatabaseFailure as error:
        log.warning("pages do not show how this worker is: %s", error)
        connection.close()


def _tick(stopping: threading.Event) -> None:
    """Do what the clock says, also where no beat runs. At once, or workers that die young would never come to it."""
    while not stopping.is_set():
        try:
            services.tick()
        except DatabaseFailure:
            log.exception("what is due is not done; trying again in %s s", TICK_SECONDS)
            connection.close()
        stopping.wait(TICK_SECONDS)


_process: Process | None = None


def start() -> None:
    """Make this process a worker."""
    global _process
    _process = Process()


def stop() -> None:
    """Stop being one. Nothing is lost by not getting here: the leases run out."""
    global _process
    if _process is not None:
        _process.stop()
        _process = None


def wake() -> None:
    """Look for work now, if this process is a worker."""
    if _process is not None:
        _process.wake()
