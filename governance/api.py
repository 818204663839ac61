"""Keys, approvals and their policies over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ninja import Query, Router, Status

from governance import services
from governance.models import ApiKey, Approval, ApprovalPolicy
from governance.schemas import (
    ApprovalOut,
    ApprovalQuery,
    Call,
    DecideIn,
    KeyIn,
    KeyOut,
    NewKeyOut,
    Page,
    PageQuery,
    PolicyIn,
    PolicyOut,
    PolicyRules,
    page,
)

keys = Router(tags=["keys"])
approvals = Router(tags=["approvals"])
policies = Router(tags=["policies"])


@keys.get("", response=Page[KeyOut], operation_id="list_keys")
def list_keys(request: Call, query: Query[PageQuery]) -> Any:
    """The tenant's API keys, newest first. Of the credentials themselves only the prefix is known."""
    rows = ApiKey.objects.of(request.auth.tenant).page("-id", after=query.after(UUID), limit=query.limit)
    return page(rows, limit=query.limit, key="id")


@keys.post("", response={201: NewKeyOut}, operation_id="create_key")
def create_key(request: Call, payload: KeyIn) -> Any:
    """Make a key. Its token is in this answer and nowhere else."""
    key, token = services.create_key(tenant=request.auth.tenant, by=request.auth.name, **payload.dict())
    return Status(201, NewKeyOut(**KeyOut.from_orm(key).dict(), token=token))


@keys.get("/{uuid:key_id}", response=KeyOut, operation_id="get_key")
def get_key(request: Call, key_id: UUID) -> Any:
    return ApiKey.objects.of(request.auth.tenant).one(key_id)


@keys.delete("/{uuid:key_id}", response={204: None}, operation_id="revoke_key")
def revoke_key(request: Call, key_id: UUID) -> Any:
    """Make a key useless within a second. Doing it again changes nothing."""
    services.revoke_key(tenant=request.auth.tenant, key_id=key_id, by=request.auth.name)
    return Status(204, None)


@approvals.get("", response=Page[ApprovalOut], by_alias=True, operation_id="list_approvals")
def list_approvals(request: Call, query: Query[ApprovalQuery]) -> Any:
    """Questions to people, newest first."""
    found = Approval.objects.of(request.auth.tenant).whole()
    if query.status:
        found = found.filter(status__in=query.status)
    if query.run_id:
        found = found.filter(run_id=query.run_id)
    return page(found.page("-id", after=query.after(UUID), limit=query.limit), limit=query.limit, key="id")


@approvals.get("/{uuid:approval_id}", response=ApprovalOut, by_alias=True, operation_id="get_approval")
def get_approval(request: Call, approval_id: UUID) -> Any:
    return Approval.objects.of(request.auth.tenant).whole().one(approval_id)


@approvals.post("/{uuid:approval_id}/decide", response=ApprovalOut, by_alias=True, operation_id="decide_approval")
def decide_approval(request: Call, approval_id: UUID, payload: DecideIn) -> Any:
    """Say yes, no or something else to exactly what was shown. The run goes on when its last question is answered."""
    return services.decide_approval(principal=request.auth, approval_id=approval_id, **payload.dict())


@policies.get("", response=Page[PolicyOut], operation_id="list_policies")
def list_policies(request: Call, query: Query[PageQuery]) -> Any:
    """The tenant's approval policies by name."""
    rows = ApprovalPolicy.objects.of(request.auth.tenant).page("name", after=query.after(str), limit=query.limit)
    return page(rows, limit=query.limit, key="name")


@policies.post("", response={201: PolicyOut}, operation_id="create_policy")
def create_policy(request: Call, payload: PolicyIn) -> Any:
    """Make a policy. A rule or a tool names it; `default` is for those that name none."""
    policy = services.create_policy(tenant=request.auth.tenant, by=request.auth.name, **payload.dict())
    return Status(201, policy)


@policies.get("/{uuid:policy_id}", response=PolicyOut, operation_id="get_policy")
def get_policy(request: Call, policy_id: UUID) -> Any:
    return ApprovalPolicy.objects.of(request.auth.tenant).one(policy_id)


@policies.patch("/{uuid:policy_id}", response=PolicyOut, operation_id="change_policy")
def change_policy(request: Call, policy_id: UUID, payload: PolicyRules) -> Any:
    """Change what is given, for questions from now on."""
    rules = payload.dict(exclude_unset=True)
    return services.save_policy(tenant=request.auth.tenant, policy_id=policy_id, by=request.auth.name, **rules)


@policies.delete("/{uuid:policy_id}", response={204: None}, operation_id="delete_policy")
def delete_policy(request: Call, policy_id: UUID) -> Any:
    """Take a policy away. Rules that still name it leave their questions to owners."""
    services.delete_policy(tenant=request.auth.tenant, policy_id=policy_id, by=request.auth.name)
    return Status(204, None)
