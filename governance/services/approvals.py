"""Questions to people: opened with the event that asks, answered once, expired and handed on when their time comes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from audit import services as audit
from governance import tenancy
from governance.auth import Principal
from governance.core import json_schema
from governance.models import ApiKey, Approval, ApprovalDecision, ApprovalPolicy, Membership
from governance.signals import approval_decided
from loom.errors import Conflict, Denied, Invalid, InvalidArguments
from loom.ids import deterministic_hash

BY_TIME = "system:clock"
Said = ApprovalDecision.Said
Role = Membership.Role

_STATUS = {
    Said.APPROVE: Approval.Status.APPROVED,
    Said.EDIT: Approval.Status.EDITED,
    Said.REJECT: Approval.Status.REJECTED,
    Said.RESPOND: Approval.Status.RESPONDED,
}
_RISK = {"read": "low", "idempotent": "medium", "keyed": "medium", "irreversible": "high"}


@dataclass(frozen=True)
class Asker:
    """The run that asks."""

    tenant_id: UUID
    run_id: UUID
    agent: str
    version_hash: str
    user_id: str | None
    started_by: str


def open_approvals(asker: Asker, questions: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Approval]:
    """Write the questions of a run, each with its step, in the transaction of the events that ask them."""
    known = {policy.name: policy for policy in ApprovalPolicy.objects.filter(tenant_id=asker.tenant_id)}
    rows = [_question(asker, step, asked, _policy(known, asked["policy"])) for step, asked in questions]
    return Approval.objects.bulk_create(rows)


def _policy(known: Mapping[str, ApprovalPolicy], name: str | None) -> ApprovalPolicy:
    """The policy of this name. A name that nobody has made is no licence: then only an owner decides."""
    if (found := known.get(name or ApprovalPolicy.DEFAULT)) is not None:
        return found
    return ApprovalPolicy(name=name, approvers=[Role.OWNER]) if name else ApprovalPolicy(name=ApprovalPolicy.DEFAULT)


def _question(asker: Asker, step: str, asked: Mapping[str, Any], policy: ApprovalPolicy) -> Approval:
    now = timezone.now()
    handed_on = policy.escalates_after_seconds
    return Approval(
        id=UUID(asked["approval_id"]),
        tenant_id=asker.tenant_id,
        run_id=asker.run_id,
        step_key=step,
        kind=asked["kind"],
        agent=asker.agent,
        version_hash=asker.version_hash,
        user_id=asker.user_id,
        requested_by=asker.started_by,
        tool=asked["tool"],
        args=asked["args"],
        args_hash=asked["args_hash"],
        schema=asked["schema"],
        risk="high" if asked["destructive"] else _RISK[asked["effect"]],
        reason=asked["reason"],
        policy=policy.name,
        approvers=policy.approvers,
        needed=policy.needed,
        four_eyes=policy.four_eyes,
        on_expiry=policy.on_expiry,
        escalates_to=policy.escalates_to or [Role.OWNER],
        requested_at=now,
        expires_at=now + timedelta(seconds=policy.expires_after_seconds),
        escalates_at=now + timedelta(seconds=handed_on) if handed_on else None,
    )


@transaction.atomic
def decide_approval(
    *,
    principal: Principal,
    approval_id: UUID,
    decision: str,
    args_hash: str,
    args: dict[str, Any] | None = None,
    reason: str = "",
    response: str | None = None,
) -> Approval:
    """Say yes, no or something else to a call that waits, exactly as it is shown: `args_hash` says what was shown.

    `approve` and `edit` count until as many as the policy needs have said yes; an edit replaces the arguments, and a
    yes to those before counts no more. `reject` and `respond` are final. Raises NotFound, Denied for who may not
    decide, Conflict when it is decided, expired, superseded or changed since, and Invalid for an answer that does not
    fit.
    """
    approval: Approval = Approval.objects.of(principal.tenant).select_for_update().one(approval_id)
    _check_open(approval, args_hash)
    if (refused := refusal_for(approval, principal)) is not None:
        raise refused
    _check_answer(approval, decision, args, response)
    if decision == Said.EDIT:
        approval.args, approval.args_hash = args, deterministic_hash(approval.tool, args)
        approval.decisions.update(counts=False)
    ApprovalDecision.objects.create(
        tenant_id=approval.tenant_id, approval=approval, by=principal.name, decision=decision, args=args,
        args_hash=approval.args_hash, reason=reason, response=response,
    )  # fmt: skip
    audit.record(
        tenant_id=approval.tenant_id,
        actor=principal.name,
        action="approval.decided",
        subject=f"approval:{approval.pk}",
        payload={"decision": decision, "tool": approval.tool, "args_hash": approval.args_hash, "reason": reason},
    )
    if decision in (Said.APPROVE, Said.EDIT) and _yes(approval) < approval.needed:
        approval.save()
        return approval
    edited = any(said.decision == Said.EDIT for said in approval.decisions.filter(counts=True))
    final = Said.EDIT if decision == Said.APPROVE and edited else Said(decision)
    _conclude(
        approval, _STATUS[final], {"decision": final, "by": principal.name, "reason": reason, "response": response}
    )
    return approval


def _yes(approval: Approval) -> int:
    """How many have said yes to the arguments as they are now."""
    said = approval.decisions.filter(counts=True, decision__in=(Said.APPROVE, Said.EDIT))
    return int(said.values("by").distinct().count())


def _check_open(approval: Approval, args_hash: str) -> None:
    named = {"approval_id": str(approval.pk), "status": approval.status}
    if approval.status != Approval.Status.PENDING:
        raise Conflict(
            f"approval {approval.pk} is {approval.status} already; nothing more is decided about it", **named
        )
    if approval.expires_at <= timezone.now():
        raise Conflict(f"approval {approval.pk} has expired at {approval.expires_at:%Y-%m-%d %H:%M:%S} UTC", **named)
    if approval.args_hash != args_hash:
        raise Conflict(
            f"approval {approval.pk} is about other arguments by now; look at them again and decide with args_hash "
            f"{approval.args_hash}",
            **named,
        )


def refusal_for(approval: Approval, principal: Principal) -> Denied | Conflict | None:
    """Why this caller may not decide about an open question, None when they may."""
    if ApiKey.Scope.APPROVE not in principal.scopes:
        return Denied("deciding takes the scope 'approve'", scope=str(ApiKey.Scope.APPROVE))
    role = principal.role or Role.OPERATOR  # a program speaks for whoever operates it
    if role not in approval.approvers:
        return Denied(f"policy {approval.policy!r} leaves this to {', '.join(approval.approvers)}; you are {role}")
    if approval.four_eyes and principal.name == approval.requested_by:
        return Denied(
            f"policy {approval.policy!r} wants four eyes: who started the run does not decide about its calls"
        )
    if any(said.counts and said.by == principal.name for said in approval.decisions.all()):
        return Conflict("you have decided already; somebody else has to agree", approval_id=str(approval.pk))
    return None


def _check_answer(approval: Approval, decision: str, args: dict[str, Any] | None, response: str | None) -> None:
    if decision not in Said.values:
        raise Invalid(f"no decision {decision!r}; there are {', '.join(Said.values)}", pointer="/decision")
    if (args is not None) != (decision == Said.EDIT):
        raise Invalid("`args` are the new arguments of an edit, and of nothing else", pointer="/args")
    if (response is not None) != (decision == Said.RESPOND):
        raise Invalid("`response` is what the model reads after `respond`, and after nothing else", pointer="/response")
    if decision == Said.EDIT and approval.kind == Approval.Kind.RECONCILE:
        raise Invalid("a call that may have happened cannot be edited; approve runs it again", pointer="/decision")
    if decision == Said.RESPOND and approval.needed > 1:
        raise Invalid(
            f"policy {approval.policy!r} needs {approval.needed} to agree; one cannot answer alone", pointer="/decision"
        )
    if args is not None:
        check_arguments(approval.schema, args)


def check_arguments(schema: dict[str, Any], args: dict[str, Any]) -> None:
    """Raise InvalidArguments, pointing at each value that does not fit the tool's JSON Schema.

    Raises Invalid for a schema that is of no use: it may come from a stranger's server.
    """
    try:
        found = sorted(json_schema.misfits(args, schema), key=lambda error: list(map(str, error.absolute_path)))
    except ValueError as error:
        raise Invalid(f"the tool's schema is of no use: {error}", pointer="/args") from error
    errors = [
        {"pointer": "".join(f"/{part}" for part in ("args", *error.absolute_path)), "detail": error.message}
        for error in found
    ]
    if errors:
        raise InvalidArguments(f"{errors[0]['pointer']}: {errors[0]['detail']}", errors=errors)


def _conclude(approval: Approval, status: str, said: dict[str, Any]) -> None:
    """End a question and tell who waits for it."""
    approval.status, approval.decided_at = status, timezone.now()
    approval.save()
    edited = {"args": approval.args} if status == Approval.Status.EDITED else {}
    said = {name: str(value) for name, value in said.items() if value is not None}
    told = {"approval_id": str(approval.pk), "args_hash": approval.args_hash, **said, **edited}
    approval_decided.send(sender=Approval, approval=approval, said=told)


def supersede_approvals(*, run_id: UUID) -> None:
    """Close the open questions of a run that has ended. Whoever is answering one right now is refused by the run."""
    # Not waited for: a decision holds its question and wants the run, which the caller holds.
    found = Approval.objects.filter(run_id=run_id).pending().select_for_update(skip_locked=True)
    for approval in found:
        approval.status, approval.decided_at = Approval.Status.SUPERSEDED, timezone.now()
        approval.save(update_fields=["status", "decided_at"])


# --- the clock --------------------------------------------------------------------------------------------------------


def settle_due_approvals(*, limit: int = 500) -> int:
    """Hand on and expire what is due, each tenant in a scope of its own; how many questions changed."""
    now = timezone.now()
    with tenancy.scheduler_scope():
        due = Approval.objects.pending().filter(expires_at__lte=now) | Approval.objects.pending().filter(
            escalates_at__lte=now, escalated_at=None
        )
        found = list(due.order_by("expires_at").values_list("tenant_id", "id")[:limit])
    by_tenant: dict[UUID, list[UUID]] = defaultdict(list)
    for tenant_id, approval_id in found:
        by_tenant[tenant_id].append(approval_id)
    for tenant_id, ids in by_tenant.items():
        with tenancy.scope(tenant_id):
            for approval in Approval.objects.pending().filter(pk__in=ids).select_for_update(skip_locked=True):
                _settle(approval)
    return len(found)


def _settle(approval: Approval) -> None:
    now = timezone.now()
    may_escalate = approval.escalated_at is None and (
        approval.on_expiry == ApprovalPolicy.OnExpiry.ESCALATE or approval.escalates_at is not None
    )
    if may_escalate and (approval.expires_at > now or approval.on_expiry == ApprovalPolicy.OnExpiry.ESCALATE):
        if approval.expires_at <= now:
            approval.expires_at = now + (approval.expires_at - approval.requested_at)
        approval.approvers, approval.escalated_at = approval.escalates_to, now
        approval.save()
        action, payload = "approval.escalated", {"to": approval.approvers}
    else:
        _conclude(approval, Approval.Status.EXPIRED, {"decision": "expire", "by": BY_TIME})
        action, payload = "approval.expired", {}
    audit.record(
        tenant_id=approval.tenant_id, actor=BY_TIME, action=action, subject=f"approval:{approval.pk}", payload=payload
    )
