"""The journal of runs: the one place that writes it, and how it is read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from agents import queue, stream
from agents.core import faults
from agents.core.runtime.blobs import pack
from agents.core.runtime.writer import Append
from agents.models import Run, RunEvent
from agents.services.blobs import keep_blobs
from governance import services as governance
from governance import tenancy
from loom.events import Kind, Record

# What a kind does to the run's status. Kinds that are not named leave it alone.
STATUS = {
    Kind.RUN_STARTED: Run.Status.QUEUED,
    Kind.RUN_WAITING: Run.Status.WAITING,
    Kind.RUN_CANCELLING: Run.Status.CANCELLING,
    Kind.RUN_SUCCEEDED: Run.Status.SUCCEEDED,
    Kind.RUN_FAILED: Run.Status.FAILED,
    Kind.RUN_CANCELLED: Run.Status.CANCELLED,
}


_APPEND = "SELECT * FROM agents_append(%s, %s)"  # see the migrations


@dataclass(frozen=True)
class _Batch:
    """What is to be written of several runs, as the database takes it."""

    appends: Sequence[Append[UUID]]
    document: str
    blobs: dict[str, str]

    @property
    def stands_alone(self) -> bool:
        """Whether nothing else is to be written with it, as far as it says itself."""
        return not self.blobs and not any(_questions(append) for append in self.appends)


Written = dict[UUID, tuple[int, str, Sequence[UUID]]]


def write_events(tenant_id: UUID, appends: Sequence[Append[UUID]]) -> dict[UUID, int]:
    """`append_events` in a transaction of its own, which takes one round trip where nothing else belongs into it."""
    batch = _batch_of(appends)
    if batch.stands_alone:
        faults.reach("before_event")
        written = _written(tenancy.query(tenant_id, _APPEND, [batch.document, True]))
        if written or not any(append.ends for append in appends):
            return _followed_up(appends, written)
    with tenancy.scope(tenant_id):  # questions are opened, or an end closes some
        return _append(batch)


def append_events(appends: Sequence[Append[UUID]]) -> dict[UUID, int]:
    """Write records of several runs of one tenant, and what follows from them for the runs' summaries, in one
    statement; within the tenant's scope.

    The only function by which a run under way changes. Answers with the `seq` that each run's records begin after; a
    run that is missing from the answer has been taken by another worker (or has ended), and nothing was written for
    it.
    """
    return _append(_batch_of(appends))


def _append(batch: _Batch) -> dict[UUID, int]:
    faults.reach("before_event")
    if batch.blobs:
        keep_blobs(batch.blobs)
    with connection.cursor() as cursor:
        cursor.execute(_APPEND, [batch.document, False])
        return _followed_up(batch.appends, _written(cursor.fetchall()))


def _batch_of(appends: Sequence[Append[UUID]]) -> _Batch:
    blobs: dict[str, str] = {}
    runs = []
    for append in appends:
        records = []
        for record in append.records:
            data = pack(record.data)
            blobs.update(data.blobs)
            row = {"kind": record.kind, "step_key": record.step_key, "version": data.version}
            records.append(_with(row | ({"blobs": list(data.blobs)} if data.blobs else {}), data=data.text))
        runs.append(_with(_summary_of(append), records=_listed(records)))
    return _Batch(appends, _listed(runs), blobs)


def _with(values: dict[str, Any], **texts: str) -> str:
    """A JSON object of values, and of one more that is JSON already."""
    [(name, text)] = texts.items()
    return f'{json.dumps(values)[:-1]}, "{name}": {text}}}'


def _listed(texts: Sequence[str]) -> str:
    return f"[{', '.join(texts)}]"


def _written(rows: Iterable[tuple[Any, ...]]) -> Written:
    return {run_id: (before, status, open_) for run_id, before, status, open_ in rows}


def _followed_up(appends: Sequence[Append[UUID]], written: Written) -> dict[UUID, int]:
    for append in appends:
        if append.run_id in written:
            _follow_up(append, *written[append.run_id][1:])
    return {run_id: before for run_id, (before, _, _) in written.items()}


def _follow_up(append: Append[UUID], status: str, open_: Sequence[UUID]) -> None:
    """What follows from records for others than their run, in the same transaction."""
    if questions := _questions(append):
        run = Run.objects.whole().get(pk=append.run_id)
        asker = governance.Asker(run.tenant_id, run.pk, str(run.version), run.version.hash, run.user_id, run.started_by)
        governance.open_approvals(asker, [(record.step_key, record.data) for record in questions])
    if status == Run.Status.QUEUED:  # its questions were answered before it stopped
        transaction.on_commit(queue.wake_workers)
    if open_ and append.records[-1].kind in Kind.TERMINAL:
        close_questions(append.run_id)


def close_questions(run_id: UUID) -> None:
    """Nobody needs an answer any more: the run has ended."""
    Run.objects.filter(pk=run_id).update(waiting_for=[])
    governance.supersede_approvals(run_id=run_id)


def append_from_outside(run: Run, record: Record) -> RunEvent:
    """Write what a person or the clock says to a run, whoever is working on it. The caller has locked the run."""
    run.last_seq += 1
    run.status = STATUS.get(record.kind, run.status)
    if record.kind in Kind.TERMINAL:
        run.lease_until, run.finished_at, run.waiting_for = None, timezone.now(), []
        governance.supersede_approvals(run_id=run.pk)
    run.save()
    data = pack(record.data)
    if data.blobs:
        keep_blobs(data.blobs)
    row: RunEvent = RunEvent.objects.create(
        tenant_id=run.tenant_id,
        run=run,
        seq=run.last_seq,
        kind=record.kind,
        step_key=record.step_key,
        data=json.loads(data.text),
        version=data.version,
        blobs=list(data.blobs) or None,
    )
    transaction.on_commit(lambda: stream.nudge_run(run.tenant_id, run.pk, row.seq, run.status))
    return row


def _summary_of(append: Append[UUID]) -> dict[str, Any]:
    """What a batch of records adds to its run's summary."""
    usages = [r.data["value"]["usage"] for r in append.records if r.kind == Kind.MODEL_COMPLETED]
    last = append.records[-1]
    ended = last.data if last.kind in Kind.TERMINAL else {}
    return {
        "run_id": str(append.run_id),
        "fence": append.fence,
        "count": len(append.records),
        "status": STATUS.get(last.kind),
        "turns": len(usages),
        "input_tokens": sum(u["input_tokens"] + u.get("cache_write_tokens", 0) for u in usages),
        "cached_input_tokens": sum(u.get("cached_input_tokens", 0) for u in usages),
        "output_tokens": sum(u["output_tokens"] for u in usages),
        "cost_usd": str(sum(Decimal(str(u.get("cost_usd", 0))) for u in usages)),
        "output": ended.get("output"),
        "parsed": ended.get("parsed"),
        "error": ended.get("error"),
        "step_ended": any("value" in r.data for r in append.records),
        "asked": [record.data["approval_id"] for record in _questions(append)],
        "until": last.data.get("until") if last.kind == Kind.RUN_WAITING else None,
    }


def _questions(append: Append[UUID]) -> list[Record]:
    return [record for record in append.records if record.kind == Kind.APPROVAL_REQUESTED]


def read_events(run_id: UUID, *, after: int = 0, limit: int | None = None) -> list[RunEvent]:
    """The run's journal after a number, in order. For the worker that replays and for everybody who watches."""
    return RunEvent.objects.filter(run_id=run_id, seq__gt=after).order_by("seq")[:limit].whole()


def read_records(run_id: UUID) -> list[Record]:
    """The run's journal as the core reads it."""
    return [Record(kind=row.kind, step_key=row.step_key, data=row.data) for row in read_events(run_id)]
