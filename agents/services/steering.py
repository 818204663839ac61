"""What people say to a run that is under way: an answer to its question, or that it shall end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from agents import queue
from agents.models import Run
from agents.services.journal import append_from_outside
from audit import services as audit
from governance.models import Approval, Tenant
from loom.errors import Conflict
from loom.events import Kind, Record


def take_decision(approval: Approval, said: dict[str, Any]) -> None:
    """Tell a run what was decided; with its last open question answered it is queued again.

    Belongs into the transaction of the decision. Raises Conflict when the run has ended meanwhile.
    """
    run: Run = Run.objects.select_for_update().one(approval.run_id)
    if run.is_over:
        raise Conflict(
            f"run {run.pk} has {run.status} meanwhile; nothing is decided for it any more", status=run.status
        )
    run.waiting_for = [pk for pk in run.waiting_for if pk != approval.pk]
    if run.status == Run.Status.WAITING and not run.waiting_for:
        run.status, run.not_before = Run.Status.QUEUED, None
        transaction.on_commit(queue.wake_workers)
    append_from_outside(run, Record(kind=Kind.APPROVAL_DECIDED, step_key=approval.step_key, data=said))


@transaction.atomic
def cancel_run(*, tenant: Tenant, run_id: UUID, by: str, reason: str = "", compensate: bool = False) -> Run:
    """End a run. One that a worker has in hand ends at its next await; `compensate` undoes what its tools can undo.

    Cancelling again changes nothing. Raises NotFound, and Conflict for a run that has ended.
    """
    run: Run = Run.objects.of(tenant).select_for_update().one(run_id)
    if run.status == Run.Status.CANCELLING:
        return run
    if run.is_over:
        raise Conflict(f"run {run.pk} has {run.status} already; there is nothing to cancel", status=run.status)
    said = {"by": by, "reason": reason, "compensate": compensate}
    has_done_something = run.started_at is not None or run.last_seq > 1  # a retried run has, before it begins
    if run.status in (Run.Status.QUEUED, Run.Status.WAITING) and not (compensate and has_done_something):
        append_from_outside(run, Record(kind=Kind.RUN_CANCELLED, data={**said, "undone": [], "not_undone": []}))
    else:
        if run.lease_until is None:  # nobody has it: whoever looks for work next ends it
            run.lease_until = Now() - timedelta(seconds=1)
        run.cancel_requested_at = Now()  # leases and what is measured against them go by the database's clock alone
        append_from_outside(run, Record(kind=Kind.RUN_CANCELLING, data=said))
        transaction.on_commit(queue.wake_workers)
    audit.record(
        tenant_id=tenant.pk, actor=by, action="run.cancelled", subject=f"run:{run.pk}",
        payload={"reason": reason, "compensate": compensate},
    )  # fmt: skip
    return run
