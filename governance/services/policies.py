"""Approval policies: who decides, how many of them, and until when."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction

from audit import services as audit
from governance.models import ApprovalPolicy, Tenant
from loom.errors import Conflict, Invalid


@transaction.atomic
def create_policy(*, tenant: Tenant, name: str, by: str, **rules: Any) -> ApprovalPolicy:
    """Make a policy. Raises Conflict when the name is taken, Invalid for rules that nobody could meet."""
    if ApprovalPolicy.objects.of(tenant).filter(name=name).exists():
        raise Conflict(f"there is a policy {name!r} already", name=name)
    policy = ApprovalPolicy(tenant=tenant, name=name, **rules)
    _check(policy)
    policy.save()
    audit.record(tenant_id=tenant.pk, actor=by, action="policy.created", subject=f"policy:{name}", payload=rules)
    return policy


@transaction.atomic
def save_policy(*, tenant: Tenant, policy_id: UUID, by: str, **rules: Any) -> ApprovalPolicy:
    """Change a policy for questions from now on; those that are open keep what they were asked under."""
    policy: ApprovalPolicy = ApprovalPolicy.objects.of(tenant).select_for_update().one(policy_id)
    for field, value in rules.items():
        setattr(policy, field, value)
    _check(policy)
    policy.save()
    audit.record(tenant_id=tenant.pk, actor=by, action="policy.changed", subject=f"policy:{policy.name}", payload=rules)
    return policy


@transaction.atomic
def delete_policy(*, tenant: Tenant, policy_id: UUID, by: str) -> None:
    """Take a policy away. Rules that still name it leave their questions to owners."""
    policy: ApprovalPolicy = ApprovalPolicy.objects.of(tenant).select_for_update().one(policy_id)
    policy.delete()
    audit.record(tenant_id=tenant.pk, actor=by, action="policy.deleted", subject=f"policy:{policy.name}")


def _check(policy: ApprovalPolicy) -> None:
    if not policy.approvers:
        raise Invalid("a policy needs at least one role that may decide", pointer="/approvers")
    if policy.on_expiry == ApprovalPolicy.OnExpiry.ESCALATE and not policy.escalates_to:
        raise Invalid("name the roles that are asked then", pointer="/escalates_to")
    if policy.escalates_after_seconds and policy.escalates_after_seconds >= policy.expires_after_seconds:
        raise Invalid("must be before the question expires", pointer="/escalates_after_seconds")
