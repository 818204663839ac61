"""What happens because its time has come."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from uuid import UUID

from django.db import connection, transaction

from agents import queue, stream
from agents.core.runtime import engine
from agents.core.runtime.writer import Append
from agents.models import Run
from agents.services import claiming
from agents.services.journal import append_events
from agents.services.schedules import fire_due_schedules
from governance import services as governance
from governance import tenancy
from loom.errors import DeadlineExceeded
from loom.events import Kind, Record

BATCH = 1000
CANCEL_PATIENCE_SECONDS = 30.0  # a worker that has not ended a cancelled run by then loses it


def tick() -> None:
    """Let runs begin whose time has come, and fail those whose deadline has passed before a worker had them; fire
    schedules; expire and hand on questions; end what was cancelled and does not end.

    Any number of processes may do this at any time: each run and each schedule is taken by one of them.
    """
    with tenancy.scheduler_scope():
        begin_due_runs()
    with tenancy.scheduler_scope():
        fail_overdue_runs()
    fire_due_schedules()
    governance.settle_due_approvals()
    with tenancy.scheduler_scope():
        claiming.take_from_deaf_workers(patience_seconds=CANCEL_PATIENCE_SECONDS)


_BEGIN = """
UPDATE agents_run SET status = 'queued', not_before = NULL
WHERE id IN (SELECT id FROM agents_run WHERE status IN ('queued', 'waiting') AND not_before <= now()
             ORDER BY not_before LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING tenant_id, id
"""


def begin_due_runs() -> int:
    """Queue the runs whose `not_before` has come, and say how many. Runs in the scheduler's scope."""
    with connection.cursor() as cursor:
        cursor.execute(_BEGIN, {"limit": BATCH})
        begun = cursor.fetchall()
    if begun:
        transaction.on_commit(queue.wake_workers)
    for tenant_id, run_id in begun:
        transaction.on_commit(partial(stream.nudge_tenant, tenant_id, run_id, Run.Status.QUEUED))
    return len(begun)


# Taken like a worker takes them, so that what follows is written by the door that all runs end through.
_TAKE_OVERDUE = """
UPDATE agents_run SET status = 'running', fence = fence + 1, not_before = NULL
WHERE id IN (SELECT id FROM agents_run WHERE status IN ('queued', 'waiting') AND deadline_at <= now()
             ORDER BY deadline_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING tenant_id, id, fence
"""


def fail_overdue_runs() -> int:
    """Fail the queued and waiting runs that are past their deadline, and say how many.

    Runs in the scheduler's scope. One that a worker has is ended there, see `WithinDeadline`.
    """
    overdue: dict[UUID, list[tuple[UUID, int]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_OVERDUE, {"limit": BATCH})
        for tenant_id, run_id, fence in cursor.fetchall():
            overdue[tenant_id].append((run_id, fence))
    for tenant_id, taken in overdue.items():
        with tenancy.scope(tenant_id):
            _fail(tenant_id, taken)
    return sum(map(len, overdue.values()))


def _fail(tenant_id: UUID, taken: Sequence[tuple[UUID, int]]) -> None:
    record = Record(kind=Kind.RUN_FAILED, data={"error": engine.describe(DeadlineExceeded())})
    append_events([Append(run_id, fence, [record]) for run_id, fence in taken])
    for run_id, _ in taken:
        transaction.on_commit(partial(stream.nudge_tenant, tenant_id, run_id, Run.Status.FAILED))
