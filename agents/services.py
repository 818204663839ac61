"""Everything that changes agents and runs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone
from psycopg.types.json import Jsonb
from uuid_utils.compat import uuid7

from agents import queue, stream
from agents.adapters import Append, session_of
from agents.models import Agent, AgentLabel, AgentVersion, Run, RunEvent
from audit import services as audit
from governance.models import Tenant
from loom.errors import Conflict, NotFound
from loom.events import Kind, Record
from loom.ids import deterministic_hash

# What a kind does to the run's status. Kinds that are not named leave it alone.
STATUS = {
    Kind.RUN_STARTED: Run.Status.QUEUED,
    Kind.RUN_WAITING: Run.Status.WAITING,
    Kind.RUN_SUCCEEDED: Run.Status.SUCCEEDED,
    Kind.RUN_FAILED: Run.Status.FAILED,
    Kind.RUN_CANCELLED: Run.Status.CANCELLED,
}


# --- agents -----------------------------------------------------------------------------------------------------------


@transaction.atomic
def create_agent(
    *, tenant: Tenant, slug: str, spec: dict[str, Any], name: str = "", description: str = "", by: str
) -> AgentVersion:
    """Make an agent with its first version, which becomes its production version.

    Raises Conflict when the slug is taken.
    """
    agent, created = Agent.objects.get_or_create(
        tenant=tenant, slug=slug, defaults={"name": name or slug, "description": description}
    )
    if not created:
        raise Conflict(f"there is an agent {slug!r} already; add a version to it instead", slug=slug)
    audit.record(tenant_id=tenant.pk, actor=by, action="agent.created", subject=f"agent:{slug}")
    version = add_version(tenant=tenant, agent=agent, spec=spec, by=by)
    promote(tenant=tenant, agent=agent, version=version, by=by)
    return version


@transaction.atomic
def add_version(*, tenant: Tenant, agent: Agent, spec: dict[str, Any], by: str) -> AgentVersion:
    """Add an immutable version. The same spec as the newest version gives that version back."""
    agent = Agent.objects.of(tenant).select_for_update().one(agent.pk)
    newest: AgentVersion | None = agent.versions.order_by("-number").first()
    digest = deterministic_hash(spec)
    if newest is not None and newest.hash == digest:
        return newest
    number = newest.number + 1 if newest else 1
    version: AgentVersion = AgentVersion.objects.create(
        tenant=tenant, agent=agent, number=number, spec=spec, hash=digest, created_by=by
    )
    audit.record(tenant_id=tenant.pk, actor=by, action="agent.version_added", subject=f"agent:{agent.slug}@{number}")
    return version


@transaction.atomic
def promote(
    *, tenant: Tenant, agent: Agent, version: AgentVersion, label: str = AgentLabel.PRODUCTION, by: str
) -> AgentLabel:
    """Move a label to a version. Runs that are under way stay on theirs."""
    row, _ = AgentLabel.objects.update_or_create(tenant=tenant, agent=agent, name=label, defaults={"version": version})
    audit.record(
        tenant_id=tenant.pk, actor=by, action="agent.promoted", subject=f"agent:{agent.slug}@{version.number}",
        payload={"label": label},
    )  # fmt: skip
    return row


@transaction.atomic
def change_agent(
    *, tenant: Tenant, slug: str, name: str | None = None, description: str | None = None, by: str
) -> Agent:
    """Change how an agent is called and described. Raises NotFound."""
    agent: Agent = Agent.objects.of(tenant).active().select_for_update().named(slug)
    changes = {field: value for field, value in (("name", name), ("description", description)) if value is not None}
    for field_name, value in changes.items():
        setattr(agent, field_name, value)
    agent.save(update_fields=list(changes))
    audit.record(tenant_id=tenant.pk, actor=by, action="agent.changed", subject=f"agent:{slug}", payload=changes)
    return agent


@transaction.atomic
def archive_agent(*, tenant: Tenant, slug: str, by: str) -> Agent:
    """Take an agent out of use; its runs and versions stay readable. Raises NotFound."""
    agent: Agent = Agent.objects.of(tenant).active().select_for_update().named(slug)
    agent.archived_at = timezone.now()
    agent.save(update_fields=["archived_at"])
    audit.record(tenant_id=tenant.pk, actor=by, action="agent.archived", subject=f"agent:{slug}")
    return agent


# --- runs: from outside -----------------------------------------------------------------------------------------------


def start_run(
    *,
    tenant: Tenant,
    agent: str,
    input: Any,
    by: str,
    user_id: str | None = None,
    session_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    output_schema: dict[str, Any] | None = None,
    priority: int = 0,
    deadline_seconds: float | None = None,
) -> Run:
    """Accept a run: its row and its first event in one transaction; a worker is woken when that has committed.

    Raises NotFound for an unknown agent.
    """
    run_id, now = uuid7(), timezone.now()
    run = Run(
        id=run_id,
        tenant=tenant,
        user_id=user_id,
        session_id=session_id or session_of(run_id),
        input=input,
        output_schema=output_schema,
        metadata=dict(metadata or {}),
        priority=priority,
        deadline_at=now + timedelta(seconds=deadline_seconds) if deadline_seconds else None,
        created_at=now,
        trace_id=run_id.hex,
        last_seq=1,
    )
    with transaction.atomic(savepoint=False):
        run.version = _accept(run, agent, by)
        audit.record(
            tenant_id=tenant.pk,
            actor=by,
            action="run.started",
            subject=f"run:{run.pk}",
            payload={"agent": str(run.version)},
        )
        transaction.on_commit(queue.wake_workers)
        transaction.on_commit(lambda: stream.nudge_tenant(tenant.pk, run.pk, run.status))
    return run


_ACCEPT = """
WITH version AS (
    SELECT v.id, v.number, a.id AS agent_id, a.slug
    FROM agents_agent a JOIN agents_agentversion v ON v.tenant_id = a.tenant_id AND v.agent_id = a.id
    WHERE a.tenant_id = %(tenant_id)s AND a.slug = %(slug)s AND a.archived_at IS NULL
      AND (v.number = %(number)s OR v.id = (SELECT l.version_id FROM agents_agentlabel l
                                            WHERE l.tenant_id = a.tenant_id AND l.agent_id = a.id
                                              AND l.name = %(label)s))
), run AS (
    INSERT INTO agents_run (
        id, tenant_id, version_id, user_id, session_id, input, output_schema, metadata, status, priority, deadline_at,
        created_at, trace_id, last_seq, attempt, fence, lease_owner, turns, input_tokens, cached_input_tokens,
        output_tokens, cost_usd)
    SELECT %(id)s, %(tenant_id)s, version.id, %(user_id)s, %(session_id)s, %(input)s, %(output_schema)s, %(metadata)s,
           %(status)s, %(priority)s, %(deadline_at)s, %(created_at)s, %(trace_id)s, 1, 0, 0, '', 0, 0, 0, 0, 0
    FROM version
), event AS (
    INSERT INTO agents_runevent (tenant_id, run_id, seq, kind, step_key, data, at)
    SELECT %(tenant_id)s, %(id)s, 1, %(kind)s, '',
           %(data)s || jsonb_build_object('agent', version.slug || '@' || version.number), %(created_at)s
    FROM version
)
SELECT id, number, agent_id, slug FROM version
"""


def _accept(run: Run, reference: str, by: str) -> AgentVersion:
    """Write an accepted run with its first event, in one statement; the version that it is pinned to.

    Raises NotFound when the reference names none.
    """
    slug, number, label = _parts(reference)
    data = {"input": run.input, "user_id": run.user_id, "session_id": run.session_id, "by": by}
    values: dict[str, Any] = {
        "id": run.pk, "tenant_id": run.tenant_id, "user_id": run.user_id, "session_id": run.session_id,
        "input": Jsonb(run.input), "output_schema": None if run.output_schema is None else Jsonb(run.output_schema),
        "metadata": Jsonb(run.metadata), "status": run.status, "priority": run.priority,
        "deadline_at": run.deadline_at, "created_at": run.created_at, "trace_id": run.trace_id,
        "kind": Kind.RUN_STARTED, "data": Jsonb(data), "slug": slug, "number": number, "label": label,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_ACCEPT, values)
        row = cursor.fetchone()
    if row is None:
        raise NotFound(f"no agent {reference!r}", agent=reference)
    agent = Agent(id=row[2], tenant_id=run.tenant_id, slug=row[3])
    return AgentVersion(id=row[0], tenant_id=run.tenant_id, number=row[1], agent=agent)


def _parts(reference: str) -> tuple[str, int | None, str | None]:
    """The slug and either the number or the label that a reference names."""
    slug, _, which = reference.partition("@")
    return (slug, int(which), None) if which.isdecimal() else (slug, None, which or AgentLabel.PRODUCTION)


# --- runs: from a worker ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """A run that this worker may advance until the lease ends. Every write carries the fence."""

    run_id: UUID
    tenant_id: UUID
    version_id: UUID
    fence: int
    attempt: int
    last_seq: int
    user_id: str | None
    session_id: str
    input: Any
    output_schema: dict[str, Any] | None
    metadata: dict[str, Any]
    deadline_at: datetime | None
    accepted_at: datetime


_CLAIM = """
WITH RECURSIVE queueing AS (
    (SELECT tenant_id FROM agents_run WHERE status = 'queued' ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT r.tenant_id FROM agents_run r
            WHERE r.status = 'queued' AND r.tenant_id > q.tenant_id ORDER BY r.tenant_id LIMIT 1)
    FROM queueing q WHERE q.tenant_id IS NOT NULL
), ranked AS (
    -- A tenant's next run ranks behind as many as it has running: nobody waits for a neighbor's backlog.
    SELECT n.id, 1 AS fresh,
           b.running + row_number() OVER (PARTITION BY q.tenant_id ORDER BY n.priority DESC, n.id) AS place
    FROM queueing q
    CROSS JOIN LATERAL (SELECT count(*) AS running FROM agents_run r
                        WHERE r.tenant_id = q.tenant_id AND r.status IN ('running', 'cancelling')) b
    CROSS JOIN LATERAL (SELECT r.id, r.priority FROM agents_run r
                        WHERE r.tenant_id = q.tenant_id AND r.status = 'queued'
                          AND (r.not_before IS NULL OR r.not_before <= now())
                        ORDER BY r.priority DESC, r.id LIMIT %(limit)s FOR UPDATE SKIP LOCKED) n
    WHERE q.tenant_id IS NOT NULL
    UNION ALL
    SELECT e.id, 0, 0 FROM (SELECT r.id FROM agents_run r
                            WHERE r.status IN ('running', 'cancelling') AND r.lease_until < now()
                            ORDER BY r.lease_until LIMIT %(limit)s FOR UPDATE SKIP LOCKED) e
), next AS (
    SELECT id FROM ranked ORDER BY fresh, place, id LIMIT %(limit)s
)
UPDATE agents_run r
SET status = CASE r.status WHEN 'queued' THEN 'running' ELSE r.status END,
    lease_owner = %(owner)s, lease_until = now() + make_interval(secs => %(lease)s),
    fence = r.fence + 1, attempt = r.attempt + 1, started_at = coalesce(r.started_at, now())
FROM next WHERE r.id = next.id
RETURNING r.id, r.tenant_id, r.version_id, r.fence, r.attempt, r.last_seq, r.user_id, r.session_id,
          r.input, r.output_schema, r.metadata, r.deadline_at, r.created_at
"""


def claim_runs(*, owner: str, limit: int, lease_seconds: float) -> list[Claim]:
    """Take up to `limit` runs: those whose worker died first, then fairly by tenant and priority.

    Runs in the scheduler's scope. Two workers never get the same run; a run that is claimed again gets a higher
    fence, so that the worker which lost it can write nothing more.
    """
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"owner": owner, "limit": limit, "lease": lease_seconds})
        return [Claim(*row[:8], *map(_json, row[8:11]), *row[11:]) for row in cursor.fetchall()]


def renew_leases(*, owner: str, run_ids: Collection[UUID], lease_seconds: float) -> int:
    """Keep these of the runs that this worker took. Runs in the scheduler's scope.

    What the worker has dropped is not among them, so its lease runs out and somebody takes it up.
    """
    held = Run.objects.filter(lease_owner=owner, status__in=(Run.Status.RUNNING, Run.Status.CANCELLING))
    return held.filter(pk__in=run_ids).update(lease_until=Now() + timedelta(seconds=lease_seconds))


def release_runs(*, owner: str) -> int:
    """Give back what this worker holds, at once, so that another goes on. Runs in the scheduler's scope."""
    return Run.objects.filter(lease_owner=owner, status__in=(Run.Status.RUNNING, Run.Status.CANCELLING)).update(
        lease_until=Now() - timedelta(seconds=1), lease_owner=""
    )


_APPEND = """
WITH batch AS (
    SELECT * FROM unnest(
        %(run_id)s::uuid[], %(fence)s::bigint[], %(count)s::int[], %(status)s::text[], %(turns)s::int[],
        %(input_tokens)s::bigint[], %(cached_input_tokens)s::bigint[], %(output_tokens)s::bigint[],
        %(cost_usd)s::numeric[], %(output)s::text[], %(parsed)s::jsonb[], %(error)s::jsonb[]
    ) AS b(run_id, fence, count, status, turns, input_tokens, cached_input_tokens, output_tokens, cost_usd,
           output, parsed, error)
), run AS (
    UPDATE agents_run r
    SET last_seq = r.last_seq + b.count,
        status = coalesce(b.status, r.status),
        turns = r.turns + b.turns,
        input_tokens = r.input_tokens + b.input_tokens,
        cached_input_tokens = r.cached_input_tokens + b.cached_input_tokens,
        output_tokens = r.output_tokens + b.output_tokens,
        cost_usd = r.cost_usd + b.cost_usd,
        output = coalesce(b.output, r.output),
        parsed = coalesce(b.parsed, r.parsed),
        error = coalesce(b.error, r.error),
        lease_until = CASE WHEN b.status IS NULL THEN r.lease_until END,
        finished_at = CASE WHEN b.status IN ('succeeded', 'failed', 'cancelled') THEN now() ELSE r.finished_at END
    FROM batch b
    WHERE r.id = b.run_id AND r.fence = b.fence AND r.status IN ('running', 'cancelling')
    RETURNING r.id, r.tenant_id, r.last_seq - b.count AS before
), event AS (
    INSERT INTO agents_runevent (tenant_id, run_id, seq, kind, step_key, data, at)
    SELECT run.tenant_id, run.id, run.before + e.place, e.kind, e.step_key, e.data, now()
    FROM unnest(%(event_run_id)s::uuid[], %(place)s::int[], %(kind)s::text[], %(step_key)s::text[], %(data)s::jsonb[])
         AS e(run_id, place, kind, step_key, data)
    JOIN run ON run.id = e.run_id
)
SELECT id, before FROM run
"""


def append_events(appends: Sequence[Append]) -> dict[UUID, int]:
    """Write records of several runs of one tenant, and what follows from them for the runs' summaries, in one
    statement.

    The only function by which a run under way changes. Answers with the `seq` that each run's records begin after; a
    run that is missing from the answer has been taken by another worker (or has ended), and nothing was written for
    it.
    """
    columns: dict[str, list[Any]] = {name: [] for name in (*_SUMMARY, *_EVENT)}
    for append in appends:
        for name, value in _summary_of(append).items():
            columns[name].append(value)
        for place, record in enumerate(append.records, start=1):
            row = (append.run_id, place, record.kind, record.step_key, Jsonb(record.data))
            for name, value in zip(_EVENT, row, strict=True):
                columns[name].append(value)
    with connection.cursor() as cursor:
        cursor.execute(_APPEND, columns)
        return dict(cursor.fetchall())


_EVENT = ("event_run_id", "place", "kind", "step_key", "data")
_SUMMARY = (
    "run_id", "fence", "count", "status", "turns", "input_tokens", "cached_input_tokens", "output_tokens", "cost_usd",
    "output", "parsed", "error",
)  # fmt: skip


def _summary_of(append: Append) -> dict[str, Any]:
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
        "input_tokens": sum(u["input_tokens"] + u["cache_write_tokens"] for u in usages),
        "cached_input_tokens": sum(u["cached_input_tokens"] for u in usages),
        "output_tokens": sum(u["output_tokens"] for u in usages),
        # Of one type, whatever was used: a list of floats and ints is none that PostgreSQL takes.
        "cost_usd": sum((Decimal(str(u["cost_usd"])) for u in usages), Decimal(0)),
        "output": ended.get("output"),
        "parsed": None if ended.get("parsed") is None else Jsonb(ended["parsed"]),
        "error": None if ended.get("error") is None else Jsonb(ended["error"]),
    }


def read_events(run_id: UUID, *, after: int = 0, limit: int | None = None) -> list[RunEvent]:
    """The run's journal after a number, in order. For the worker that replays and for everybody who watches."""
    return list(RunEvent.objects.filter(run_id=run_id, seq__gt=after).order_by("seq")[:limit])


def read_records(run_id: UUID) -> list[Record]:
    """The run's journal as the core reads it."""
    rows = RunEvent.objects.filter(run_id=run_id).order_by("seq").values_list("kind", "step_key", "data")
    return [Record(kind=kind, step_key=step_key, data=data) for kind, step_key, data in rows]


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)
