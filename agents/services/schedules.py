"""Schedules: what starts runs again and again, and the firing of those that are due."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from itertools import starmap
from typing import Any, TypedDict, Unpack
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from agents.core.cron import Cron, Missed
from agents.models import AgentVersion, Firing, Run, Schedule
from agents.services.starting import start_run
from audit import services as audit
from governance import tenancy
from governance.models import Tenant
from loom.errors import Conflict, Invalid, LoomError, NotFound

BATCH = 200

log = logging.getLogger(__name__)


class ScheduleChanges(TypedDict, total=False):
    name: str
    agent: str
    input: Any
    user_id: str | None
    session_id: str | None
    cron: str
    time_zone: str
    missed: str
    enabled: bool


@transaction.atomic
def create_schedule(
    *, tenant: Tenant, slug: str, agent: str, input: Any, cron: str, by: str, **more: Unpack[_More]
) -> Schedule:
    """Make a schedule.

    Raises Invalid for a cron line that is none or never fires, and for an unknown time zone or agent; Conflict when the
    slug is taken.
    """
    named = {**more, "name": more.get("name") or slug, "created_by": by, "changed_by": by}
    schedule = Schedule(tenant=tenant, slug=slug, agent=agent, input=input, cron=cron, **named)
    _check_agent(tenant, agent)
    schedule.next_at = _next_of(schedule)
    try:
        with transaction.atomic():
            schedule.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(f"there is a schedule {slug!r} already", slug=slug) from error
    _record(schedule, "created", by, agent=agent, cron=cron, time_zone=schedule.time_zone)
    return schedule


@transaction.atomic
def change_schedule(*, tenant: Tenant, schedule_id: UUID, by: str, **changes: Unpack[ScheduleChanges]) -> Schedule:
    """Change what is named; `enabled` pauses and resumes it. What was missed while it was paused is over.

    Raises NotFound, and Invalid like `create_schedule`.
    """
    schedule: Schedule = Schedule.objects.of(tenant).select_for_update().one(schedule_id)
    for name, value in changes.items():
        setattr(schedule, name, value)
    if "agent" in changes:
        _check_agent(tenant, schedule.agent)
    if changes.keys() & {"cron", "time_zone", "enabled"}:
        schedule.next_at = _next_of(schedule)
    schedule.changed_by = by
    schedule.save(update_fields=[*changes, "next_at", "changed_by"])
    told = {name: value for name, value in changes.items() if name not in _PERSONAL}
    _record(schedule, "changed", by, fields=sorted(changes), **told)
    return schedule


@transaction.atomic
def delete_schedule(*, tenant: Tenant, schedule_id: UUID, by: str) -> None:
    """Take a schedule away. The runs that it started stay. Raises NotFound."""
    schedule: Schedule = Schedule.objects.of(tenant).select_for_update().one(schedule_id)
    _record(schedule, "deleted", by)
    schedule.delete()


@transaction.atomic
def run_schedule_now(*, tenant: Tenant, schedule_id: UUID, by: str) -> Run:
    """Start its run now, paused or not; its next time stays. Raises NotFound, and Conflict when its agent is gone."""
    schedule: Schedule = Schedule.objects.of(tenant).select_for_update().one(schedule_id)
    try:
        return _fire(schedule, timezone.now(), by)
    except NotFound as error:
        raise Conflict(f"{error}, which schedule {schedule.slug!r} starts") from error


# --- firing -----------------------------------------------------------------------------------------------------------


def fire_due_schedules() -> int:
    """Start the runs of all schedules whose time has come, by the database's clock, and say how many.

    Each schedule is fired in a transaction of its own: one that fails does not hold up the others, and one that another
    process has in hand is left to it.
    """
    with tenancy.scheduler_scope():
        due = Schedule.objects.filter(next_at__lte=Now()).annotate(now=Now()).order_by("next_at", "id")
        found = list(due.values_list("tenant_id", "id", "now")[:BATCH])
    return sum(starmap(_fire_one, found))


def _fire_one(tenant_id: UUID, schedule_id: UUID, now: datetime) -> int:
    try:
        with tenancy.scope(tenant_id):
            return fire_schedule(schedule_id, now=now)
    except Exception:  # whatever is wrong with it, it is not the others' fault
        log.exception("schedule %s could not be fired", schedule_id)
        return 0


def fire_schedule(schedule_id: UUID, *, now: datetime) -> int:
    """Start the runs that a schedule owes, and say how many. Runs in the tenant's scope.

    One whose agent is gone says so in `last_error` and tries again at its next time.
    """
    rows = Schedule.objects.select_related("tenant").select_for_update(skip_locked=True, of=("self",))
    schedule: Schedule | None = rows.filter(pk=schedule_id, next_at__lte=now).first()
    if schedule is None or schedule.next_at is None:
        return 0
    by, since, fired = f"schedule:{schedule.slug}", schedule.next_at, 0
    schedule.next_at = None  # and stays so if the line can no longer be read: zones come and go
    try:
        cron = Cron(schedule.cron, schedule.time_zone)
        schedule.next_at = next(iter(cron.after(now)), None)
        with transaction.atomic():
            for fire_at in _not_yet_fired(schedule, cron.due(since, now, Missed(schedule.missed))):
                _fire(schedule, fire_at, by, on_behalf_of=schedule.changed_by)
                fired += 1
    except LoomError as error:
        fired, schedule.last_error = 0, str(error)
        _record(schedule, "failed", by, reason=str(error))
    schedule.save(update_fields=["next_at", "last_error"])
    return fired


def _not_yet_fired(schedule: Schedule, times: Sequence[datetime]) -> list[datetime]:
    """A clock that was set back comes to the same times again."""
    fired = set(schedule.firings.filter(fire_at__in=times).values_list("fire_at", flat=True))
    return [time for time in times if time not in fired]


def _fire(schedule: Schedule, fire_at: datetime, by: str, *, on_behalf_of: str = "") -> Run:
    run = start_run(
        tenant=schedule.tenant,
        agent=schedule.agent,
        input=schedule.input,
        user_id=schedule.user_id,
        session_id=schedule.session_id,
        metadata={"schedule": schedule.slug, "fire_at": fire_at.isoformat()},
        by=by,
        on_behalf_of=on_behalf_of,
    )
    Firing.objects.create(tenant=schedule.tenant, schedule=schedule, fire_at=fire_at, run=run)
    schedule.last_fired_at, schedule.last_run, schedule.last_error = fire_at, run, ""
    schedule.save(update_fields=["last_fired_at", "last_run", "last_error"])
    return run


# --- inside -----------------------------------------------------------------------------------------------------------


_PERSONAL = frozenset({"input", "user_id", "session_id"})  # whose values are no matter of the audit log


class _More(TypedDict, total=False):
    name: str
    user_id: str | None
    session_id: str | None
    time_zone: str
    missed: str
    enabled: bool


def _check_agent(tenant: Tenant, reference: str) -> None:
    try:
        AgentVersion.objects.of(tenant).referred(reference)
    except NotFound as error:
        raise Invalid(str(error), pointer="/agent") from error


def _next_of(schedule: Schedule) -> datetime | None:
    [soonest] = Cron(schedule.cron, schedule.time_zone).after(timezone.now())
    return soonest if schedule.enabled else None


def _record(schedule: Schedule, what: str, by: str, **payload: Any) -> None:
    subject, action = f"schedule:{schedule.slug}", f"schedule.{what}"
    audit.record(tenant_id=schedule.tenant_id, actor=by, action=action, subject=subject, payload=payload)
