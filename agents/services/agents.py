"""Agents, their versions and labels."""

from __future__ import annotations

from typing import Any, TypedDict, Unpack

from django.db import transaction
from django.utils import timezone

from agents import assembly, queue
from agents.models import Agent, AgentLabel, AgentVersion
from audit import services as audit
from governance.models import Tenant
from loom.errors import Conflict
from loom.ids import deterministic_hash


class AgentChanges(TypedDict, total=False):
    name: str
    description: str
    max_running: int | None
    retention_days: int | None


@transaction.atomic
def create_agent(
    *, tenant: Tenant, slug: str, spec: dict[str, Any], name: str = "", description: str = "", by: str
) -> AgentVersion:
    """Make an agent with its first version, which becomes its production version.

    Raises Conflict when the slug is taken, and ConfigError for a spec of which no program can be made.
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
    """Add an immutable version. The same spec as the newest version gives that version back.

    Raises ConfigError for a spec of which no program can be made.
    """
    assembly.check_spec(spec)
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
def change_agent(*, tenant: Tenant, slug: str, by: str, **changes: Unpack[AgentChanges]) -> Agent:
    """Change what is said of an agent and how much of it may run. What is not named stays. Raises NotFound."""
    agent: Agent = Agent.objects.of(tenant).active().select_for_update().named(slug)
    for field_name, value in changes.items():
        setattr(agent, field_name, value)
    agent.save(update_fields=list(changes))
    audit.record(tenant_id=tenant.pk, actor=by, action="agent.changed", subject=f"agent:{slug}", payload=dict(changes))
    if "max_running" in changes:
        transaction.on_commit(queue.wake_workers)  # there may be room for more
    return agent


@transaction.atomic
def archive_agent(*, tenant: Tenant, slug: str, by: str) -> Agent:
    """Take an agent out of use; its runs and versions stay readable. Raises NotFound."""
    agent: Agent = Agent.objects.of(tenant).active().select_for_update().named(slug)
    agent.archived_at = timezone.now()
    agent.save(update_fields=["archived_at"])
    audit.record(tenant_id=tenant.pk, actor=by, action="agent.archived", subject=f"agent:{slug}")
    return agent
