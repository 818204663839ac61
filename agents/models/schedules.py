"""What starts runs again and again."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.db.models.functions import Now

from agents.core.cron import Cron, Missed
from agents.models.runs import Run, excerpt
from governance.models import SCHEDULER, TenantQuerySet, TenantRow
from governance.tenancy import TenantForeignKey


class ScheduleQuerySet(TenantQuerySet):
    def whole(self) -> Self:
        """With the run that it started last, which every view of a schedule names."""
        return self.select_related("last_run")


class Schedule(TenantRow):
    """A run to be started again and again, at the times that a cron line says."""

    slug = models.SlugField(max_length=100)
    name = models.CharField(max_length=200)
    agent = models.CharField(max_length=151)  # `slug`, `slug@3` or `slug@label`: what it names is looked up each time
    input = models.JSONField()
    user_id = models.CharField(max_length=200, null=True)
    session_id = models.CharField(max_length=200, null=True)
    cron = models.CharField(max_length=200)
    time_zone = models.CharField(max_length=100, default="UTC")
    missed = models.CharField(max_length=4, choices=[(way, way) for way in Missed], default=Missed.SKIP)
    enabled = models.BooleanField(default=True)

    next_at = models.DateTimeField(null=True)  # None while it is paused
    last_fired_at = models.DateTimeField(null=True)
    last_run = TenantForeignKey(Run, on_delete=models.SET_NULL, null=True, related_name="+")
    last_error = models.TextField(blank=True)  # why it could not start a run the last time
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    created_by = models.CharField(max_length=200)
    changed_by = models.CharField(max_length=200, default="")  # who answers for what it starts

    policies: ClassVar[dict[str, str]] = {"scheduler": f"FOR SELECT USING ({SCHEDULER})"}
    objects: ClassVar = ScheduleQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "slug"], name="schedule_slug_once"),
            models.CheckConstraint(
                condition=models.Q(enabled=True) | models.Q(next_at=None), name="schedule_paused_fires_never"
            ),
        ]
        indexes = [models.Index(fields=["next_at"], name="schedule_due", condition=models.Q(next_at__isnull=False))]

    def __str__(self) -> str:
        return self.slug

    @property
    def excerpt(self) -> str:
        return excerpt(self.input)

    @property
    def next_fire_times(self) -> list[datetime]:
        """The next five, soonest first; none while it is paused."""
        if self.next_at is None:
            return []
        return [self.next_at, *Cron(self.cron, self.time_zone).after(self.next_at, 4)]


class Firing(TenantRow):
    """A fire time of a schedule, and the run that it started: written together, so that no time starts two."""

    schedule = TenantForeignKey(Schedule, on_delete=models.CASCADE, related_name="firings")
    fire_at = models.DateTimeField()
    run = TenantForeignKey(Run, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["schedule", "fire_at"], name="firing_once")]

    def __str__(self) -> str:
        return f"{self.schedule_id} at {self.fire_at}"
