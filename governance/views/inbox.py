"""The questions that wait for people: a list, and what is asked in full. Looking at a page decides nothing."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import Case, Q, QuerySet, When
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from governance import services
from governance.auth import Principal
from governance.core.differences import readable
from governance.models import ApiKey, Approval, ApprovalDecision
from governance.views.arguments import declared
from governance.views.members import member_page
from loom.errors import NotFound

ROWS_A_PAGE = 50
TABS = {"pending": "Pending", "decided": "Decided", "all": "All"}
_YES = (ApprovalDecision.Said.APPROVE, ApprovalDecision.Said.EDIT)


@require_GET
@member_page
def inbox(request: HttpRequest, principal: Principal, approval_id: UUID | None = None) -> HttpResponse:
    """The list, with one of its questions beside it. `?part=list` or `?part=detail` is that piece alone."""
    part = request.GET.get("part")
    opened = find_approval(principal, approval_id) if approval_id else None
    if part == "detail" and opened is not None:
        return render(request, "approvals/_detail.html", detail(opened, principal))
    return render_inbox(request, principal, opened, part=part)


@require_GET
@member_page
def pending(request: HttpRequest, principal: Principal) -> HttpResponse:
    """The number beside the link to this page."""
    return render(request, "approvals/_badge.html")


def render_inbox(
    request: HttpRequest, principal: Principal, opened: Approval | None, *, part: str | None = None, **more: Any
) -> HttpResponse:
    """The page. `problem` says why the last thing that somebody tried has not been done, `status` the same in HTTP."""
    status = more.pop("status", 200)
    show = request.GET.get("show", "")
    show = show if show in TABS else "pending"
    q = request.GET.get("q", "").replace("\x00", "")[:200]
    page = Paginator(_found(principal, show, q), ROWS_A_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": [row(approval, principal) for approval in page],
        "show": show,
        "tabs": TABS.items(),
        "q": q,
        "opened": opened,
        "may_decide": ApiKey.Scope.APPROVE in principal.scopes,
    }
    if part == "list":
        return render(request, "approvals/_list.html", context)
    if opened is not None:
        context |= detail(opened, principal)
    return render(request, "approvals/inbox.html", {**context, **more}, status=status)


def find_approval(principal: Principal, approval_id: UUID) -> Approval:
    try:
        found: Approval = Approval.objects.of(principal.tenant).whole().one(approval_id)
    except NotFound as error:
        raise Http404(str(error)) from error
    return found


def is_open(approval: Approval) -> bool:
    return approval.status == Approval.Status.PENDING and approval.expires_at > timezone.now()


def row(approval: Approval, principal: Principal) -> dict[str, Any]:
    return {
        "approval": approval,
        "excerpt": ", ".join(f"{name}: {_line(value)}" for name, value in in_order(approval).items())[:200],
        "agreed": _agreed(approval),
        "is_open": is_open(approval),
        "is_mine": is_open(approval) and services.refusal_for(approval, principal) is None,
    }


def detail(approval: Approval, principal: Principal) -> dict[str, Any]:
    """What the page shows of one question, and whether this person may answer it."""
    decisions = sorted(approval.decisions.all(), key=lambda said: said.id)
    return {
        "approval": approval,
        "arguments": [{"name": name, "text": readable(value)} for name, value in in_order(approval).items()],
        "args_json": json.dumps(in_order(approval), indent=2, ensure_ascii=False),
        "decisions": decisions,
        "agreed": _agreed(approval),
        "is_open": is_open(approval),
        "refusal": services.refusal_for(approval, principal),
        "is_doubt": approval.kind == Approval.Kind.RECONCILE,
    }


def in_order(approval: Approval) -> dict[str, Any]:
    """The arguments in the order of those that the tool requires, which is all that the database keeps of any order."""
    names = [name for name in declared(approval.schema) if name in approval.args]
    return {name: approval.args[name] for name in (*names, *approval.args)}


def _agreed(approval: Approval) -> int:
    """How many have said yes to the arguments as they are now."""
    return len({said.by for said in approval.decisions.all() if said.counts and said.decision in _YES})


def _found(principal: Principal, show: str, q: str) -> QuerySet[Approval]:
    found = Approval.objects.of(principal.tenant).whole()
    if q:
        found = found.filter(Q(tool__icontains=q) | Q(agent__icontains=q))
    if show == "pending":
        return found.pending().order_by("expires_at", "id")
    if show == "decided":
        return found.exclude(status=Approval.Status.PENDING).order_by("-decided_at", "-id")
    return found.order_by(Case(When(status=Approval.Status.PENDING, then=0), default=1), "-id")


def _line(value: Any) -> str:
    return " ".join(readable(value).split())[:80]
