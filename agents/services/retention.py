"""Deleting what is kept no longer: runs that have been over for as many days as their agent or tenant says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Min
from django.utils import timezone

from agents.models import Agent, Run
from agents.services.blobs import drop_orphan_blobs
from audit import services as audit
from governance import tenancy
from governance.models import Tenant

BATCH = 500


def delete_old_runs() -> int:
    """Delete the runs whose days are over, with their journals, and say how many.

    What was asked and decided in them stays: decisions are kept like the audit log.

    Runs that are under way stay, and so do those that one of them was forked from. A batch is a transaction of its own
    with one entry in the audit log, so this may be stopped anywhere and done twice.
    """
    return sum(_delete_of(tenant, days) for tenant, days in _tenants_that_forget())


def _tenants_that_forget() -> Iterator[tuple[Tenant, int]]:
    """With the fewest days that one of their runs is kept."""
    limited = Agent.objects.filter(retention_days__isnull=False)
    with tenancy.scheduler_scope():
        of_agents = dict(limited.values_list("tenant_id").annotate(Min("retention_days")))
    for tenant in Tenant.objects.order_by("id").iterator():
        if days := [each for each in (tenant.retention_days, of_agents.get(tenant.pk)) if each is not None]:
            yield tenant, min(days)


def _delete_of(tenant: Tenant, days: int) -> int:
    deleted = 0
    accepted_before = _first_id_of(timezone.now() - timedelta(days=days))
    while True:
        with tenancy.scope(tenant.pk):
            batch = _delete_batch(tenant, accepted_before)
        deleted += batch
        if batch < BATCH:
            break
    while deleted:
        with tenancy.scope(tenant.pk):
            if not drop_orphan_blobs():
                break
    return deleted


# Ids are sorted by time, so the first condition leaves out all that is younger without an index of its own.
_EXPIRED = """
SELECT r.id FROM agents_run r
JOIN agents_agentversion v ON v.tenant_id = r.tenant_id AND v.id = r.version_id
JOIN agents_agent a ON a.tenant_id = r.tenant_id AND a.id = v.agent_id
WHERE r.tenant_id = %(tenant_id)s AND r.id < %(accepted_before)s
  AND r.status IN ('succeeded', 'failed', 'cancelled')
  AND r.finished_at < now() - make_interval(days => coalesce(a.retention_days, %(tenant_days)s::int))
  AND NOT EXISTS (SELECT FROM agents_run child WHERE child.tenant_id = r.tenant_id AND child.parent_id = r.id
                  AND child.status NOT IN ('succeeded', 'failed', 'cancelled'))
ORDER BY r.id LIMIT %(limit)s FOR UPDATE OF r SKIP LOCKED
"""


@transaction.atomic
def _delete_batch(tenant: Tenant, accepted_before: UUID) -> int:
    values = {"tenant_id": tenant.pk, "tenant_days": tenant.retention_days, "limit": BATCH}
    with connection.cursor() as cursor:
        cursor.execute(_EXPIRED, {**values, "accepted_before": accepted_before})
        run_ids = [run_id for (run_id,) in cursor.fetchall()]
    if not run_ids:
        return 0
    Run.objects.filter(pk__in=run_ids).delete()
    told = {"runs": len(run_ids), "first": str(run_ids[0]), "last": str(run_ids[-1])}
    subject = f"tenant:{tenant.slug}"
    audit.record(tenant_id=tenant.pk, actor="retention", action="runs.deleted", subject=subject, payload=told)
    return len(run_ids)


def _first_id_of(moment: datetime) -> UUID:
    """The smallest UUIDv7 of a moment: its first 48 bits are milliseconds."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
