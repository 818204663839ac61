"""Which worker advances which run: claims, leases, and giving them back."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models.functions import Now

from agents.core import faults
from agents.models import Run


@dataclass(frozen=True)
class Claim:
    """A run that this worker may advance until the lease ends. Every write carries the fence."""

    run_id: UUID
    tenant_id: UUID
    version_id: UUID
    fence: int
    attempt: int
    crashes: int
    status: str
    last_seq: int
    user_id: str | None
    session_id: str
    input: Any
    output_schema: dict[str, Any] | None
    metadata: dict[str, Any]
    heard_until: datetime  # what was said in its session before then is its history
    seconds_left: float | None  # until its deadline, by the database's clock
    is_limited: bool  # its agent or tenant may run only so many at once: when it ends, there may be room for another


_CLAIM = """
WITH RECURSIVE queueing AS (
    -- The versions that have runs queued: one look into the index for each, however long their queues are.
    (SELECT tenant_id, version_id FROM agents_run WHERE status = 'queued' AND not_before IS NULL
     ORDER BY tenant_id, version_id LIMIT 1)
    UNION ALL
    SELECT n.tenant_id, n.version_id
    FROM queueing q
    CROSS JOIN LATERAL (SELECT r.tenant_id, r.version_id FROM agents_run r
                        WHERE r.status = 'queued' AND r.not_before IS NULL
                          AND (r.tenant_id, r.version_id) > (q.tenant_id, q.version_id)
                        ORDER BY r.tenant_id, r.version_id LIMIT 1) n
), busy AS (
    SELECT r.tenant_id, v.agent_id, count(*) AS running
    FROM agents_run r JOIN agents_agentversion v ON v.id = r.version_id
    WHERE r.status IN ('running', 'cancelling') AND r.tenant_id IN (SELECT tenant_id FROM queueing)
    GROUP BY r.tenant_id, v.agent_id
), lane AS (
    SELECT q.tenant_id, q.version_id, v.agent_id, coalesce(tb.running, 0) AS running,
           t.max_running IS NOT NULL OR a.max_running IS NOT NULL AS is_limited,
           coalesce(t.max_running - coalesce(tb.running, 0), %(limit)s) AS tenant_room,
           coalesce(a.max_running - coalesce(ab.running, 0), %(limit)s) AS agent_room
    FROM queueing q
    JOIN governance_tenant t ON t.id = q.tenant_id
    JOIN agents_agentversion v ON v.id = q.version_id
    JOIN agents_agent a ON a.id = v.agent_id
    LEFT JOIN (SELECT tenant_id, sum(running) AS running FROM busy GROUP BY tenant_id) tb ON tb.tenant_id = t.id
    LEFT JOIN busy ab ON ab.agent_id = a.id
), candidate AS (
    SELECT lane.*, n.id, n.priority,
           row_number() OVER (PARTITION BY lane.agent_id ORDER BY n.priority DESC, n.id) AS place_in_agent
    FROM lane
    CROSS JOIN LATERAL (SELECT r.id, r.priority FROM agents_run r
                        WHERE r.tenant_id = lane.tenant_id AND r.version_id = lane.version_id
                          AND r.status = 'queued' AND r.not_before IS NULL
                        ORDER BY r.priority DESC, r.id
                        LIMIT greatest(0, least(%(limit)s, lane.tenant_room, lane.agent_room))
                        FOR UPDATE SKIP LOCKED) n
), placed AS (
    SELECT id, running, tenant_room, is_limited,
           row_number() OVER (PARTITION BY tenant_id ORDER BY priority DESC, id) AS place
    FROM candidate WHERE place_in_agent <= agent_room
), ranked AS (
    -- A tenant's next run ranks behind as many as it has running: nobody waits for a neighbor's backlog.
    SELECT id, 1 AS fresh, running + place AS place, is_limited FROM placed WHERE place <= tenant_room
    UNION ALL
    SELECT e.id, 0, 0, true FROM (SELECT r.id FROM agents_run r
                            WHERE r.status IN ('running', 'cancelling') AND r.lease_until < now()
                              AND r.crashes + (r.lease_owner <> '')::int < 2
                            ORDER BY r.lease_until LIMIT %(limit)s FOR UPDATE SKIP LOCKED) e
    UNION ALL
    -- One of those whose worker died twice may be why. They are taken a few at a time, then one by one, so that it
    -- takes few others with it.
    SELECT s.id, 0, 0, true FROM (VALUES (2, 2, 8), (3, 32767, 1)) AS care(least, most, together)
    CROSS JOIN LATERAL (SELECT r.id FROM agents_run r
                        WHERE r.status IN ('running', 'cancelling') AND r.lease_until < now()
                          AND r.crashes + (r.lease_owner <> '')::int BETWEEN care.least AND care.most
                        ORDER BY r.lease_until
                        LIMIT greatest(0, care.together - (
                            SELECT count(*) FROM agents_run h
                            WHERE h.status IN ('running', 'cancelling') AND h.lease_until >= now()
                              AND h.lease_owner = %(owner)s AND h.crashes BETWEEN care.least AND care.most))
                        FOR UPDATE SKIP LOCKED) s
), next AS (
    SELECT id, is_limited FROM ranked ORDER BY fresh, place, id LIMIT %(limit)s
)
UPDATE agents_run r
SET status = CASE r.status WHEN 'queued' THEN 'running' ELSE r.status END,
    -- The transaction may have begun before there was this run, and have waited for its turn.
    lease_owner = %(owner)s, lease_until = clock_timestamp() + make_interval(secs => %(lease)s),
    -- Who gives a run back takes its name off; a name that is still there is a dead worker's.
    crashes = r.crashes + (r.status <> 'queued' AND r.lease_owner <> '')::int,
    fence = r.fence + 1, attempt = r.attempt + 1, started_at = coalesce(r.started_at, clock_timestamp())
FROM next WHERE r.id = next.id
RETURNING r.id, r.tenant_id, r.version_id, r.fence, r.attempt, r.crashes, r.status, r.last_seq, r.user_id,
          r.session_id, r.input, r.output_schema, r.metadata, coalesce(r.heard_until, r.created_at),
          extract(epoch FROM r.deadline_at - clock_timestamp())::float8, next.is_limited
"""

# Two claims at once would each count without the other's, so where there are limits they come one after the other.
_TAKE_TURNS = """
SELECT pg_advisory_xact_lock(hashtext('loom.claim'))
WHERE EXISTS (SELECT FROM governance_tenant WHERE max_running IS NOT NULL)
   OR EXISTS (SELECT FROM agents_agent WHERE max_running IS NOT NULL)
"""


def claim_runs(*, owner: str, limit: int, lease_seconds: float) -> list[Claim]:
    """Take up to `limit` runs: those whose worker died first, then fairly by tenant and priority.

    No agent and no tenant gets more under way than its `max_running`.

    Runs in the scheduler's scope. Two workers never get the same run; a run that is claimed again gets a higher
    fence, so that the worker which lost it can write nothing more.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_TURNS)
        cursor.execute(_CLAIM, {"owner": owner, "limit": limit, "lease": lease_seconds})
        faults.reach("in_sweeper")
        return [Claim(*row[:10], *map(_json, row[10:13]), *row[13:]) for row in cursor.fetchall()]


def renew_leases(*, owner: str, run_ids: Collection[UUID], lease_seconds: float) -> int:
    """Keep these of the runs that this worker took. Runs in the scheduler's scope.

    What the worker has dropped is not among them, so its lease runs out and somebody takes it up.
    """
    held = Run.objects.filter(lease_owner=owner, status__in=(Run.Status.RUNNING, Run.Status.CANCELLING))
    return held.filter(pk__in=run_ids).update(lease_until=Now() + timedelta(seconds=lease_seconds))


def release_runs(*, owner: str, run_ids: Collection[UUID] | None = None) -> int:
    """Give back what this worker holds, or these of it, at once, so that another goes on.

    Runs in the scheduler's scope. It is no crash of the runs'.
    """
    held = Run.objects.filter(lease_owner=owner, status__in=(Run.Status.RUNNING, Run.Status.CANCELLING))
    if run_ids is not None:
        held = held.filter(pk__in=run_ids)
    return held.update(lease_until=Now() - timedelta(seconds=1), lease_owner="")


def find_cancelled(*, owner: str) -> list[tuple[UUID, int]]:
    """The runs of this worker that somebody wants to end, each with its fence. Runs in the scheduler's scope."""
    return list(Run.objects.filter(lease_owner=owner, status=Run.Status.CANCELLING).values_list("id", "fence"))


def take_from_deaf_workers(*, patience_seconds: float) -> int:
    """End the leases of those that do not stop when they are told to; whoever claims the run next ends it. Runs in the
    scheduler's scope."""
    deaf = Run.objects.filter(
        status=Run.Status.CANCELLING,
        lease_until__gt=Now(),
        cancel_requested_at__lt=Now() - timedelta(seconds=patience_seconds),
    )
    return deaf.update(lease_until=Now() - timedelta(seconds=1), cancel_requested_at=Now())


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)
