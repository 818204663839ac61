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
                              AND r.crashes + (r.lease_owner <> '')::int < 2
                            ORDER BY r.lease_until LIMIT %(limit)s FOR UPDATE SKIP LOCKED) e
    UNION ALL
    -- One of those whose worker died twice may be why. They are taken a few at a time, then one by one, so that it
    -- takes few others with it.
    SELECT s.id, 0, 0 FROM (VALUES (2, 2, 8), (3, 32767, 1)) AS care(least, most, together)
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
    SELECT id FROM ranked ORDER BY fresh, place, id LIMIT %(limit)s
)
UPDATE agents_run r
SET status = CASE r.status WHEN 'queued' THEN 'running' ELSE r.status END,
    lease_owner = %(owner)s, lease_until = now() + make_interval(secs => %(lease)s),
    -- Who gives a run back takes its name off; a name that is still there is a dead worker's.
    crashes = r.crashes + (r.status <> 'queued' AND r.lease_owner <> '')::int,
    fence = r.fence + 1, attempt = r.attempt + 1, started_at = coalesce(r.started_at, now())
FROM next WHERE r.id = next.id
RETURNING r.id, r.tenant_id, r.version_id, r.fence, r.attempt, r.crashes, r.last_seq, r.user_id, r.session_id,
          r.input, r.output_schema, r.metadata, r.deadline_at, r.created_at
"""


def claim_runs(*, owner: str, limit: int, lease_seconds: float) -> list[Claim]:
    """Take up to `limit` runs: those whose worker died first, then fairly by tenant and priority.

    Runs in the scheduler's scope. Two workers never get the same run; a run that is claimed again gets a higher
    fence, so that the worker which lost it can write nothing more.
    """
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"owner": owner, "limit": limit, "lease": lease_seconds})
        faults.reach("in_sweeper")
        return [Claim(*row[:9], *map(_json, row[9:12]), *row[12:]) for row in cursor.fetchall()]


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


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)
