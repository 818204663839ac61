"""Accepting a run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from psycopg.types.json import Jsonb
from uuid_utils.compat import uuid7

from agents import queue, stream
from agents.adapters import session_of
from agents.models import Agent, AgentLabel, AgentVersion, Run
from audit import services as audit
from governance.models import Tenant
from loom.errors import Invalid, NotFound
from loom.events import Kind

LATEST_BEGINNING = timedelta(days=366)


def start_run(
    *,
    tenant: Tenant,
    agent: str,
    input: Any,
    by: str,
    on_behalf_of: str = "",
    user_id: str | None = None,
    session_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    output_schema: dict[str, Any] | None = None,
    priority: int = 0,
    not_before: datetime | None = None,
    deadline_seconds: float | None = None,
) -> Run:
    """Accept a run: its row and its first event in one transaction; a worker is woken when that has committed.

    It begins when `not_before` has come. `on_behalf_of` is who stands behind the schedule that starts it, and counts as
    its starter where four eyes are wanted.

    Raises NotFound for an unknown agent, and Invalid for a beginning that is too far away or after the deadline.
    """
    run_id, now = uuid7(), timezone.now()
    deadline_at = now + timedelta(seconds=deadline_seconds) if deadline_seconds else None
    run = Run(
        id=run_id,
        tenant=tenant,
        user_id=user_id,
        session_id=session_id or session_of(run_id),
        input=input,
        output_schema=output_schema,
        metadata=dict(metadata or {}),
        priority=priority,
        not_before=_beginning(not_before, now, deadline_at),
        deadline_at=deadline_at,
        created_at=now,
        trace_id=run_id.hex,
        started_by=on_behalf_of or by,
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
        # Robust: the run is accepted by now, and whoever asked for it must hear that whatever goes wrong.
        transaction.on_commit(queue.wake_workers, robust=True)
        transaction.on_commit(lambda: stream.nudge_tenant(tenant.pk, run.pk, run.status), robust=True)
    return run


def _beginning(not_before: datetime | None, now: datetime, deadline_at: datetime | None) -> datetime | None:
    """When a run may begin; None is at once."""
    if not_before is None or not_before <= now:
        return None
    if not_before > now + LATEST_BEGINNING:
        raise Invalid(f"a run may begin within {LATEST_BEGINNING.days} days, not later", pointer="/not_before")
    if deadline_at is not None and not_before >= deadline_at:
        raise Invalid("the deadline would be over before the run begins", pointer="/deadline_seconds")
    return not_before


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
        id, tenant_id, version_id, user_id, session_id, input, output_schema, metadata, status, priority, not_before,
        deadline_at, created_at, trace_id, started_by, waiting_for, last_seq, attempt, fence, lease_owner,
        turns, input_tokens, cached_input_tokens, output_tokens, cost_usd)
    SELECT %(id)s, %(tenant_id)s, version.id, %(user_id)s, %(session_id)s, %(input)s, %(output_schema)s, %(metadata)s,
           %(status)s, %(priority)s, %(not_before)s, %(deadline_at)s, %(created_at)s, %(trace_id)s,
           %(started_by)s, '{}', 1, 0, 0, '', 0, 0, 0, 0, 0
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
        "not_before": run.not_before, "deadline_at": run.deadline_at, "created_at": run.created_at,
        "trace_id": run.trace_id, "started_by": run.started_by, "kind": Kind.RUN_STARTED,
        "data": Jsonb(data), "slug": slug, "number": number, "label": label,
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
