"""Runs, and the journal of what happened in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from agents.core.runtime.blobs import PLAIN, check_version, unpack
from agents.models.agents import AgentVersion
from governance.models import SCHEDULER, TenantQuerySet, TenantRow
from governance.tenancy import TenantForeignKey


def excerpt(said: Any) -> str:
    """The beginning of an input, for lists."""
    if isinstance(said, dict) and len(said) == 1:
        [said] = said.values()
    return (said if isinstance(said, str) else json.dumps(said, ensure_ascii=False))[:200]


class RunQuerySet(TenantQuerySet):
    def newest_first(self) -> Self:
        return self.order_by("-id")  # the key is a UUIDv7: sorted by time

    def whole(self) -> Self:
        """With the agent and the version, which every view of a run names."""
        return self.select_related("version__agent")

    def matching(
        self,
        *,
        status: Sequence[str] = (),
        agent: str = "",
        user_id: str | None = None,
        session_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        q: str = "",
    ) -> Self:
        """The runs that fit all that is given. `agent` is `slug`, `slug@3` or `slug@label`; `q` is text in them."""
        slug, _, which = agent.partition("@")
        version = {"version__number": int(which)} if which.isdecimal() else {"version__labels__name": which}
        wanted: dict[str, Any] = {
            **({"status__in": status} if status else {}),
            **({"version__agent__slug": slug} if slug else {}),
            **(version if which else {}),
            **({"user_id": user_id} if user_id is not None else {}),
            **({"session_id": session_id} if session_id is not None else {}),
            **({"created_at__gte": since} if since else {}),
            **({"created_at__lt": until} if until else {}),
        }
        words = models.Q(input__icontains=q) | models.Q(output__icontains=q) if q else models.Q()
        return self.filter(words, **wanted)


class Run(TenantRow):
    """The summary of a run's journal, kept by the statement that writes the journal. See `services.append_events`."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        WAITING = "waiting"
        CANCELLING = "cancelling"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    version = TenantForeignKey(AgentVersion, on_delete=models.PROTECT, related_name="runs")
    parent = TenantForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="children")
    user_id = models.CharField(max_length=200, null=True)
    session_id = models.CharField(max_length=200)
    input = models.JSONField()
    output = models.TextField(null=True)
    parsed = models.JSONField(null=True)
    error = models.JSONField(null=True)
    output_schema = models.JSONField(null=True)
    metadata = models.JSONField(default=dict)

    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    priority = models.SmallIntegerField(default=0)
    not_before = models.DateTimeField(null=True)  # cleared when its time has come: see `services.tick`
    deadline_at = models.DateTimeField(null=True)
    waiting_for = ArrayField(models.UUIDField(), default=list)  # approvals that are open
    started_by = models.CharField(max_length=200, default="")
    heard_until = models.DateTimeField(null=True)  # its conversation ends there; None: when it was accepted
    cancel_requested_at = models.DateTimeField(null=True)

    attempt = models.PositiveIntegerField(default=0)
    crashes = models.PositiveSmallIntegerField(db_default=0)  # workers that died with it since it last finished a step
    fence = models.BigIntegerField(default=0)
    lease_owner = models.CharField(max_length=100, default="")
    lease_until = models.DateTimeField(null=True)

    last_seq = models.PositiveIntegerField(default=0)
    turns = models.PositiveIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    cached_input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cost_usd = models.DecimalField(max_digits=16, decimal_places=8, default=0)

    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    trace_id = models.CharField(max_length=32)

    policies: ClassVar[dict[str, str]] = {"scheduler": f"USING ({SCHEDULER}) WITH CHECK ({SCHEDULER})"}
    objects: ClassVar = RunQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=("running", "cancelling")) | models.Q(lease_until=None),
                name="run_lease_only_while_it_runs",
            )
        ]
        indexes = [
            models.Index(
                fields=["tenant", "version", "-priority", "id"],
                name="run_queue",
                condition=models.Q(status="queued", not_before=None),
            ),
            models.Index(
                fields=["not_before"],
                name="run_timer",
                condition=models.Q(status__in=("queued", "waiting"), not_before__isnull=False),
            ),
            models.Index(
                fields=["deadline_at"],
                name="run_deadline",
                condition=models.Q(status__in=("queued", "waiting"), deadline_at__isnull=False),
            ),
            models.Index(
                fields=["lease_until"], name="run_lease", condition=models.Q(status__in=("running", "cancelling"))
            ),
            models.Index(
                fields=["tenant", "version"],
                name="run_busy",
                condition=models.Q(status__in=("running", "cancelling")),
            ),
            models.Index(fields=["tenant", "-id"], name="run_newest"),
            models.Index(fields=["tenant", "user_id", "session_id", "-id"], name="run_conversation"),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def seconds(self) -> float | None:
        """How long it ran or has been running, from its first claim."""
        if self.started_at is None:
            return None
        return round(((self.finished_at or timezone.now()) - self.started_at).total_seconds(), 2)

    @property
    def excerpt(self) -> str:
        return excerpt(self.input)

    @property
    def is_over(self) -> bool:
        return self.status in (self.Status.SUCCEEDED, self.Status.FAILED, self.Status.CANCELLED)


class Blob(models.Model):
    """A large value of some journals, once for its tenant: the JSON text whose SHA-256 the events name.

    It stays as long as an event names it; see `services.drop_orphan_blobs`.
    """

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey("governance.Tenant", on_delete=models.CASCADE, related_name="+", db_index=False)
    sha256 = models.CharField(max_length=64)
    body = models.TextField()
    created_at = models.DateTimeField(db_default=Now())

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "sha256"], name="blob_once")]

    def __str__(self) -> str:
        return self.sha256


class RunEventQuerySet(TenantQuerySet):
    def whole(self) -> list[RunEvent]:
        """The events with their data as it was written, whatever of it lies in blobs.

        Raises RuntimeJournalError for an event that later code has written.
        """
        events = list(self)
        named = {digest for event in events for digest in event.blobs or ()}
        bodies = dict(Blob.objects.filter(sha256__in=named).values_list("sha256", "body")) if named else {}
        for event in events:
            check_version(event.version)
            if event.blobs:
                event.data = unpack(event.data, bodies)
        return events


class RunEvent(models.Model):
    """One line of a run's journal: history, replay and stream at once. `seq` has no gaps within its run.

    `data` holds references where values are large; `whole()` of the QuerySet gives them back.
    """

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey("governance.Tenant", on_delete=models.CASCADE, related_name="+", db_index=False)
    run = TenantForeignKey(Run, on_delete=models.CASCADE, related_name="events", db_index=False)
    seq = models.PositiveIntegerField()
    kind = models.CharField(max_length=100)
    step_key = models.TextField(blank=True)
    data = models.JSONField()
    version = models.PositiveSmallIntegerField(db_default=PLAIN)
    blobs = ArrayField(models.CharField(max_length=64), null=True)
    at = models.DateTimeField(db_default=Now())

    objects: ClassVar = RunEventQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "seq"], name="run_event_seq_once")]
        indexes = [
            models.Index(fields=["tenant"], name="run_event_blobs", condition=models.Q(blobs__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.seq} {self.kind}"
