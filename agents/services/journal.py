"""The journal of runs: the one place that writes it, and how it is read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone
from psycopg.types.json import Jsonb

from agents import queue, stream
from agents.core import faults
from agents.core.runtime.blobs import pack
from agents.core.runtime.writer import Append
from agents.models import Run, RunEvent
from agents.services.blobs import keep_blobs
from governance import services as governance
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


_APPEND = """
WITH batch AS (
    SELECT * FROM unnest(
        %(run_id)s::uuid[], %(fence)s::bigint[], %(count)s::int[], %(status)s::text[], %(turns)s::int[],
        %(input_tokens)s::bigint[], %(cached_input_tokens)s::bigint[], %(output_tokens)s::bigint[],
        %(cost_usd)s::numeric[], %(output)s::text[], %(parsed)s::jsonb[], %(error)s::jsonb[], %(step_ended)s::bool[],
        %(asked)s::jsonb[], %(until)s::timestamptz[]
    ) AS b(run_id, fence, count, status, turns, input_tokens, cached_input_tokens, output_tokens, cost_usd,
           output, parsed, error, step_ended, asked, until)
), run AS (
    UPDATE agents_run r
    SET last_seq = r.last_seq + b.count,
        waiting_for = r.waiting_for || ARRAY(SELECT jsonb_array_elements_text(b.asked)::uuid),
        status = CASE
            WHEN b.status IS DISTINCT FROM 'waiting' THEN coalesce(b.status, r.status)
            WHEN r.status = 'cancelling' THEN r.status
            -- Whatever it asked may have been answered before it stopped.
            WHEN b.until IS NULL AND cardinality(r.waiting_for) = 0 AND b.asked = '[]' THEN 'queued'
            ELSE 'waiting'
        END,
        not_before = CASE b.status WHEN 'waiting' THEN b.until ELSE r.not_before END,
        turns = r.turns + b.turns,
        input_tokens = r.input_tokens + b.input_tokens,
        cached_input_tokens = r.cached_input_tokens + b.cached_input_tokens,
        output_tokens = r.output_tokens + b.output_tokens,
        cost_usd = r.cost_usd + b.cost_usd,
        output = coalesce(b.output, r.output),
        parsed = coalesce(b.parsed, r.parsed),
        error = coalesce(b.error, r.error),
        crashes = CASE WHEN b.step_ended THEN 0 ELSE r.crashes END,
        lease_until = CASE
            WHEN b.status IS NULL THEN r.lease_until
            WHEN r.status = 'cancelling' AND b.status = 'waiting' THEN now() - interval '1 second'
        END,
        finished_at = CASE WHEN b.status IN ('succeeded', 'failed', 'cancelled') THEN now() ELSE r.finished_at END
    FROM batch b
    WHERE r.id = b.run_id AND r.fence = b.fence AND r.status IN ('running', 'cancelling')
    RETURNING r.id, r.tenant_id, r.last_seq - b.count AS before, r.status, r.waiting_for
), event AS (
    INSERT INTO agents_runevent (tenant_id, run_id, seq, kind, step_key, data, version, blobs, at)
    SELECT run.tenant_id, run.id, run.before + e.place, e.kind, e.step_key, e.data::jsonb, e.version,
           string_to_array(e.blobs, ' '), now()
    FROM unnest(%(event_run_id)s::uuid[], %(place)s::int[], %(kind)s::text[], %(step_key)s::text[], %(data)s::text[],
                %(version)s::int[], %(blobs)s::text[])
         AS e(run_id, place, kind, step_key, data, version, blobs)
    JOIN run ON run.id = e.run_id
)
SELECT id, before, status, waiting_for FROM run
"""


def append_events(appends: Sequence[Append[UUID]]) -> dict[UUID, int]:
    """Write records of several runs of one tenant, and what follows from them for the runs' summaries, in one
    statement.

    The only function by which a run under way changes. Answers with the `seq` that each run's records begin after; a
    run that is missing from the answer has been taken by another worker (or has ended), and nothing was written for
    it.
    """
    columns: dict[str, list[Any]] = {name: [] for name in (*_SUMMARY, *_EVENT)}
    blobs: dict[str, str] = {}
    for append in appends:
        for name, value in _summary_of(append).items():
            columns[name].append(value)
        for place, record in enumerate(append.records, start=1):
            data = pack(record.data)
            blobs.update(data.blobs)
            named = " ".join(data.blobs) or None
            row = (append.run_id, place, record.kind, record.step_key, data.text, data.version, named)
            for name, value in zip(_EVENT, row, strict=True):
                columns[name].append(value)
    faults.reach("before_event")
    if blobs:
        keep_blobs(blobs)
    with connection.cursor() as cursor:
        cursor.execute(_APPEND, columns)
        written = {run_id: (before, status, open_) for run_id, before, status, open_ in cursor.fetchall()}
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


_EVENT = ("event_run_id", "place", "kind", "step_key", "data", "version", "blobs")
_SUMMARY = (
    "run_id", "fence", "count", "status", "turns", "input_tokens", "cached_input_tokens", "output_tokens", "cost_usd",
    "output", "parsed", "error", "step_ended", "asked", "until",
)  # fmt: skip


def _summary_of(append: Append[UUID]) -> dict[str, Any]:
    """What a batch of records adds to its run's summary."""
    usages = [r.data["value"]["usage"] for r in append.records if r.kind == Kind.MODEL_COMPLETED]
    last = append.records[-1]
    ended = last.data if last.kind in Kind.TERMINAL else {}
    return {
        "run_id": append.run_id,
        "fence": append.fence,
        "count": len(append.records),
        "status": STATUS.get(last.kind),
        "turns": len(usages),
        "input_tokens": sum(u["input_tokens"] + u.get("cache_write_tokens", 0) for u in usages),
        "cached_input_tokens": sum(u.get("cached_input_tokens", 0) for u in usages),
        "output_tokens": sum(u["output_tokens"] for u in usages),
        # Of one type, whatever was used: a list of floats and ints is none that PostgreSQL takes.
        "cost_usd": sum((Decimal(str(u.get("cost_usd", 0))) for u in usages), Decimal(0)),
        "output": ended.get("output"),
        "parsed": None if ended.get("parsed") is None else Jsonb(ended["parsed"]),
        "error": None if ended.get("error") is None else Jsonb(ended["error"]),
        "step_ended": any("value" in r.data for r in append.records),
        "asked": Jsonb([record.data["approval_id"] for record in _questions(append)]),
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
