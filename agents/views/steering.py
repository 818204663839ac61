"""What people do with a run: end it, take it up again, or go on otherwise. They see first what that means."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from agents import services
from agents.models import AgentVersion, Run, RunEvent
from agents.schemas import MAX_INPUT_BYTES
from agents.views.runs import find_run
from governance.auth import Principal
from governance.models import ApiKey
from governance.views.members import member_page
from loom.errors import LoomError
from loom.events import Kind

_LABELS = {"input": "Its input", "tool_result": "What the tool gave", "message": "What the model said"}


class ForkForm(forms.Form):
    """What is otherwise in a run that begins like another. An event that stays as it is, is done again."""

    agent_version = forms.TypedChoiceField(coerce=int, label="Version of the agent")

    def __init__(self, event: RunEvent | None, versions: list[int], own: int, data: Any = None) -> None:
        super().__init__(data, initial={"agent_version": own})
        names = [(number, f"{number} (its own)" if number == own else str(number)) for number in versions]
        self.fields["agent_version"].choices = names  # type: ignore[attr-defined]
        self._own, self._event, self.what = own, event, ""
        if event is not None and (editable := _editable(event)) is not None:
            self.what, self._was = editable
            text = self._was if isinstance(self._was, str) else json.dumps(self._was, indent=2, ensure_ascii=False)
            self.fields["edit"] = forms.CharField(
                label=_LABELS[self.what], initial=text, required=False, strip=False, max_length=MAX_INPUT_BYTES,
                widget=forms.Textarea(attrs={"rows": 8}),
                help_text="Change it, and the new run goes on after it. Left as it is, this step is done again.",
            )  # fmt: skip

    def clean_edit(self) -> Any:
        """What is otherwise, or None. JSON stays JSON and a text stays a text."""
        text = self.cleaned_data["edit"].replace("\r\n", "\n")
        if text == self.fields["edit"].initial:
            return None
        if isinstance(self._was, str):
            return text
        try:
            return json.loads(text)
        except ValueError as error:
            raise forms.ValidationError(f"This is no JSON: {error}") from error

    def changes(self) -> dict[str, Any]:
        number, edit = self.cleaned_data["agent_version"], self.cleaned_data.get("edit")
        return {
            "agent_version": number if number != self._own else None,
            "edit": {self.what: edit} if edit is not None else None,
        }


@require_POST
@member_page
def cancel(request: HttpRequest, principal: Principal, run_id: UUID) -> HttpResponse:
    """End the run, and undo what its tools can undo where that is asked for."""
    found = find_run(principal, run_id)
    if (refused := _refusal(request, principal, "end runs")) is not None:
        return refused
    reason, compensate = request.POST.get("reason", "").strip()[:1000], "compensate" in request.POST
    try:
        services.cancel_run(
            tenant=principal.tenant, run_id=found.pk, by=principal.name, reason=reason, compensate=compensate
        )
    except LoomError as error:
        messages.error(request, f"{error}.")
    return redirect("console:run", run_id=run_id)


@require_http_methods(["GET", "POST"])
@member_page
def retry(request: HttpRequest, principal: Principal, run_id: UUID) -> HttpResponse:
    """What a retry would keep and do again; a POST does it. `from_seq` is where it begins, else what was unfinished."""
    found = find_run(principal, run_id)
    if (refused := _refusal(request, principal, "retry runs")) is not None:
        return refused
    seq = _seq(request)
    if request.method == "POST":
        try:
            again = services.retry_run(tenant=principal.tenant, run_id=run_id, by=principal.name, from_seq=seq)
        except LoomError as error:
            messages.error(request, f"{error}.")
            return redirect("console:run", run_id=run_id)
        return redirect("console:run", run_id=again.pk)
    return _preview(request, principal, found, seq, {"how": "retry"})


@require_http_methods(["GET", "POST"])
@member_page
def fork(request: HttpRequest, principal: Principal, run_id: UUID) -> HttpResponse:
    """The same for a run that goes on otherwise: with an event changed, or on another version of the agent."""
    found = find_run(principal, run_id)
    if (refused := _refusal(request, principal, "fork runs")) is not None:
        return refused
    seq = _seq(request)
    if seq is None:
        raise Http404("say at which event: ?from_seq=")
    events = list(RunEvent.objects.filter(run_id=run_id, seq__in=(seq, _end_of(found, seq))).order_by("seq").whole())
    event = next((one for one in reversed(events) if _editable(one) is not None), None)
    numbers = AgentVersion.objects.of(principal.tenant).filter(agent=found.version.agent_id).order_by("-number")
    form = ForkForm(event, list(numbers.values_list("number", flat=True)), found.version.number, request.POST or None)
    if request.method == "POST" and form.is_valid():
        changes = form.changes()
        at = event.seq if changes["edit"] is not None and event is not None else seq
        try:
            other = services.fork_run(tenant=principal.tenant, run_id=run_id, at_seq=at, by=principal.name, **changes)
        except LoomError as error:
            form.add_error(None, f"{error}.")
        else:
            return redirect("console:run", run_id=other.pk)
    return _preview(request, principal, found, seq, {"how": "fork", "form": form}, status=422 if form.errors else 200)


def _preview(
    request: HttpRequest, principal: Principal, found: Run, seq: int | None, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    try:
        preview = services.preview_replay(tenant=principal.tenant, run_id=found.pk, from_seq=seq)
    except LoomError as error:
        messages.error(request, f"{error}.")
        return redirect("console:run", run_id=found.pk)
    return render(
        request, "console/replay.html", {"run": found, "preview": preview, "seq": seq, **context}, status=status
    )


def _refusal(request: HttpRequest, principal: Principal, what: str) -> HttpResponse | None:
    if ApiKey.Scope.RUN in principal.scopes:
        return None
    return render(request, "console/refused.html", {"what": what, "role": principal.role}, status=403)


def _seq(request: HttpRequest) -> int | None:
    given = request.POST.get("from_seq") or request.GET.get("from_seq", "")
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 10 else None


def _end_of(found: Run, seq: int) -> int:
    """The event by which the step that this one belongs to has ended, itself where there is none."""
    begun = RunEvent.objects.filter(run_id=found.pk, seq=seq).exclude(step_key="").first()
    kinds = (Kind.TOOL_COMPLETED, Kind.MODEL_COMPLETED)
    if begun is None:
        return seq
    ends = RunEvent.objects.filter(run_id=found.pk, step_key=begun.step_key, kind__in=kinds, seq__gte=seq)
    return ends.order_by("seq").values_list("seq", flat=True).first() or seq


def _editable(event: RunEvent) -> tuple[str, Any] | None:
    """What of an event can be changed, and what it is now."""
    match event.kind:
        case Kind.RUN_STARTED:
            return "input", event.data["input"]
        case Kind.TOOL_COMPLETED:
            value = event.data["value"]
            return "tool_result", value["output"] if value["ok"] else value.get("reason") or value.get("error") or ""
        case Kind.MODEL_COMPLETED:
            value = event.data["value"]
            calls = [{"id": c["id"], "tool": c["tool"], "args": c["args"]} for c in value["tool_calls"]]
            return "message", {"text": value["text"], "tool_calls": calls} if calls else value["text"]
    return None
