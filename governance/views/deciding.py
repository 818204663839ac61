"""What people say to questions. Only a POST says anything, and each is bound to the hash of what was shown."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST

from governance import services
from governance.auth import Principal
from governance.core.differences import differences
from governance.models import ApiKey, Approval, ApprovalDecision
from governance.views.arguments import ArgumentsForm
from governance.views.inbox import detail, find_approval, in_order, is_open, render_inbox
from governance.views.members import member_page
from loom.errors import Conflict, Denied, Invalid, LoomError, NotFound

Said = ApprovalDecision.Said
MOST_AT_ONCE = 100
_DONE = {
    Said.APPROVE: "Approved",
    Said.EDIT: "Approved with edits",
    Said.REJECT: "Rejected",
    Said.RESPOND: "Answered",
}


@require_POST
@member_page
def decide(request: HttpRequest, principal: Principal, approval_id: UUID) -> HttpResponse:
    """One decision. What stands in its way is said beside the question as it is now."""
    find_approval(principal, approval_id)
    said = request.POST.get("decision", "")
    try:
        approval = services.decide_approval(principal=principal, approval_id=approval_id, **_answer(request, said))
    except LoomError as error:
        now = find_approval(principal, approval_id)
        return render_inbox(request, principal, now, problem=error, status=_status(error))
    messages.success(request, _done(approval, said))
    following = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(following, allowed_hosts=None):
        return redirect(following)
    return redirect("approvals:detail", approval_id=approval_id)


@require_http_methods(["GET", "POST"])
@member_page
def edit(request: HttpRequest, principal: Principal, approval_id: UUID) -> HttpResponse:
    """A form of the arguments; what is sent comes back as a comparison with what was proposed, to be agreed to."""
    approval = find_approval(principal, approval_id)
    if not is_open(approval) or approval.kind == Approval.Kind.RECONCILE:
        return redirect("approvals:detail", approval_id=approval_id)
    if (refused := services.refusal_for(approval, principal)) is not None:
        return render_inbox(request, principal, approval, problem=refused, status=_status(refused))
    context = detail(approval, principal) | {"next": request.POST.get("next") or request.GET.get("next", "")}
    if request.method == "GET":
        return _form(request, context, ArgumentsForm(approval.schema, approval.args))
    if request.POST.get("args_hash") != approval.args_hash:
        changed = Conflict("somebody has changed the arguments since you began; these are the new ones")
        form = ArgumentsForm(approval.schema, approval.args)
        return _form(request, context | {"problem": changed}, form, status=_status(changed))
    if "back" in request.POST:
        return _form(request, context, ArgumentsForm(approval.schema, _edited_before(request, approval)))
    form = ArgumentsForm(approval.schema, approval.args, request.POST)
    if form.is_valid() and form.arguments() == approval.args:
        form.add_error(None, "Nothing is changed here: approve the call as it is, or change something.")
    if not form.is_valid():
        return _form(request, context, form, status=422)
    args = form.arguments()
    shown = {"differences": differences(in_order(approval), args), "edited": json.dumps(args)}
    return render(request, "approvals/review.html", context | shown)


def _form(request: HttpRequest, context: dict[str, Any], form: ArgumentsForm, status: int = 200) -> HttpResponse:
    return render(request, "approvals/edit.html", context | {"form": form}, status=status)


def _edited_before(request: HttpRequest, approval: Approval) -> dict[str, Any]:
    """What somebody has compared and wants to go on editing."""
    try:
        return _json(request.POST.get("args", ""))
    except Invalid:
        return dict(approval.args)


@require_POST
@member_page
def several(request: HttpRequest, principal: Principal) -> HttpResponse:
    """The same answer to several questions: first each of them in full, then, confirmed, what became of each."""
    if ApiKey.Scope.APPROVE not in principal.scopes:
        return render(request, "console/refused.html", {"what": "decide", "role": principal.role}, status=403)
    decision = request.POST.get("decision", "")
    chosen = dict(filter(None, map(_choice, request.POST.getlist("chosen")[:MOST_AT_ONCE])))
    if decision not in (Said.APPROVE, Said.REJECT) or not chosen:
        messages.error(request, "Choose at least one question, and whether to approve or to reject.")
        return redirect("approvals:inbox")
    reason = request.POST.get("reason", "")
    # In the order of their keys, so that two people with the same rows wait for each other and do not block.
    found = list(Approval.objects.of(principal.tenant).whole().filter(pk__in=chosen).order_by("pk"))
    context: dict[str, Any] = {"decision": decision, "reason": reason, "verb": _DONE[Said(decision)].lower()}
    if "confirmed" in request.POST:
        results = [_one_of_several(a, chosen[a.pk], principal, decision, reason) for a in found]
        missing = len(chosen) - len(found)
        return render(request, "approvals/results.html", context | {"results": results, "missing": missing})
    asked = [{**detail(approval, principal), "shown_hash": chosen[approval.pk]} for approval in found]
    return render(request, "approvals/several.html", context | {"asked": asked})


def _one_of_several(
    approval: Approval, args_hash: str, principal: Principal, decision: str, reason: str
) -> dict[str, Any]:
    try:
        now = services.decide_approval(
            principal=principal, approval_id=approval.pk, decision=decision, args_hash=args_hash, reason=reason
        )
    except Denied as error:
        return {"approval": approval, "outcome": "not yours", "detail": str(error)}
    except Conflict as error:
        return {"approval": approval, "outcome": "changed since", "detail": str(error)}
    except LoomError as error:
        return {"approval": approval, "outcome": "refused", "detail": str(error)}
    return {"approval": now, "outcome": "decided", "detail": _done(now, decision)}


def _answer(request: HttpRequest, said: str) -> dict[str, Any]:
    """The decision as the form says it. Raises Invalid."""
    post = request.POST
    answer: dict[str, Any] = {
        "decision": said,
        "args_hash": post.get("args_hash", ""),
        "reason": post.get("reason", "").strip()[:10_000],
    }
    if said == Said.EDIT:
        answer["args"] = _json(post.get("args", ""))
    if said == Said.RESPOND:
        if not post.get("response", "").strip():
            raise Invalid("write the answer that the run shall read", pointer="/response")
        answer["response"] = post["response"][:100_000]
    return answer


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Invalid(f"the arguments are no JSON: {error}", pointer="/args") from error
    if not isinstance(value, dict):
        raise Invalid("the arguments are a JSON object", pointer="/args")
    return value


def _choice(text: str) -> tuple[UUID, str] | None:
    """`<id>:<hash>` of a row that was ticked. What is nothing of the kind was not ticked on our page."""
    key, _, args_hash = text.partition(":")
    try:
        return UUID(key), args_hash
    except ValueError:
        return None


def _done(approval: Approval, said: str) -> str:
    if approval.status != Approval.Status.PENDING:
        return f"{_DONE[Said(said)]}: {approval.tool}. The run goes on."
    missing = approval.needed - len({d.by for d in approval.decisions.filter(counts=True)})
    return f"You agreed to {approval.tool}; {missing} more {'has' if missing == 1 else 'have'} to."


def _status(error: LoomError) -> int:
    match error:
        case Denied():
            return 403
        case NotFound():
            return 404
        case Conflict():
            return 409
    return 422
