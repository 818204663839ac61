"""Agents with their immutable versions and the labels that are moved over them."""

from __future__ import annotations

from typing import ClassVar, Self

from django.db import models
from django.db.models.functions import Now

from governance.models import SCHEDULER, TenantQuerySet, TenantRow
from governance.tenancy import TenantForeignKey
from loom.errors import NotFound


class AgentQuerySet(TenantQuerySet):
    def active(self) -> Self:
        return self.filter(archived_at=None)

    def with_labels(self) -> Self:
        return self.prefetch_related("labels__version")

    def named(self, slug: str) -> Agent:
        """The agent with this slug. Raises NotFound."""
        agent: Agent | None = self.filter(slug=slug).first()
        if agent is None:
            raise NotFound(f"no agent {slug!r}", agent=slug)
        return agent


class Agent(TenantRow):
    """An agent or a workflow under a name. What it does is said by its versions."""

    slug = models.SlugField(max_length=100)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    archived_at = models.DateTimeField(null=True, blank=True)
    max_running = models.PositiveIntegerField(null=True, blank=True)  # its runs under way at once; None: any number
    retention_days = models.PositiveIntegerField(null=True, blank=True)  # None: what the tenant says

    policies: ClassVar[dict[str, str]] = {"scheduler": f"FOR SELECT USING ({SCHEDULER})"}
    objects: ClassVar = AgentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "slug"], name="agent_slug_once"),
            models.CheckConstraint(condition=models.Q(max_running__gt=0), name="agent_runs_something"),
            models.CheckConstraint(condition=models.Q(retention_days__gt=0), name="agent_keeps_a_day"),
        ]
        indexes = [
            models.Index(fields=["id"], name="agent_limited", condition=models.Q(max_running__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.slug


class AgentVersionQuerySet(TenantQuerySet):
    def referred(self, reference: str) -> AgentVersion:
        """The version that `slug`, `slug@3` or `slug@label` names now. Raises NotFound."""
        slug, _, which = reference.partition("@")
        named = {"number": int(which)} if which.isdecimal() else {"labels__name": which or AgentLabel.PRODUCTION}
        version: AgentVersion | None = self.filter(agent__slug=slug, agent__archived_at=None, **named).first()
        if version is None:
            raise NotFound(f"no agent {reference!r}", agent=reference)
        return version

    def numbered(self, agent: Agent, number: int) -> AgentVersion:
        """The agent's version with this number. Raises NotFound."""
        version: AgentVersion | None = self.filter(agent=agent, number=number).first()
        if version is None:
            raise NotFound(f"agent {agent.slug!r} has no version {number}", agent=agent.slug, version=number)
        return version


class AgentVersion(TenantRow):
    """One immutable state of an agent: the SDK's declarative config, and its hash."""

    agent = TenantForeignKey(Agent, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    spec = models.JSONField()
    hash = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    created_by = models.CharField(max_length=200)

    policies: ClassVar[dict[str, str]] = {"scheduler": f"FOR SELECT USING ({SCHEDULER})"}
    objects: ClassVar = AgentVersionQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "agent", "number"], name="agent_version_once")]

    def __str__(self) -> str:
        return f"{self.agent.slug}@{self.number}"


class AgentLabel(TenantRow):
    """A movable name for a version, such as `production`. Promotion moves it."""

    PRODUCTION = "production"

    agent = TenantForeignKey(Agent, on_delete=models.CASCADE, related_name="labels")
    name = models.SlugField(max_length=50)
    version = TenantForeignKey(AgentVersion, on_delete=models.PROTECT, related_name="labels")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "agent", "name"], name="agent_label_once")]

    def __str__(self) -> str:
        return self.name
