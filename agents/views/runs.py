"""The console's pages: what the tenant's runs are doing, and a form to start one.

Pages are whole without a script. A script that hears of a change asks for the same piece of the page again.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django import forms
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from agents import services
from agents.models import Agent, Run, RunEvent
from agents.schemas import MAX_INPUT_BYTES
from agents.views.telling import describe, steps_of
from governance.auth import SESSION_TENANT, Principal
from governance.models import ApiKey, Approval
from governance.views.members import member_page
from loom.errors import LoomError, NotFound

RUNS_A_PAGE = 50
EVENTS_A_PAGE = 200


class RunForm(forms.Form):
    """What a person may say about a new run."""

    agent = forms.ChoiceField()
    input = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 8, "autofocus": True}),
        max_length=MAX_INPUT_BYTES,
        help_text="Text, or a JSON object for agents that take one.",
    )
    user_id = forms.CharField(required=False, max_length=200, label="User", help_text="Whom the run is for.")
    session_id = forms.CharField(
        required=False, max_length=200, label="Session", help_text="The conversation to go on with."
    )

    def __init__(self, agents: list[Agent], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["agent"].choices = [(a.slug, a.name) for a in agents]  # type: ignore[attr-defined]

    def clean_input(self) -> Any:
        """A JSON object where the text is one, else the text."""
        text: str = self.cleaned_data["input"]
        if not text.lstrip().startswith("{"):
            return text
        try:
            return json.loads(text)
        except ValueError as error:
            raise forms.ValidationError(f"This begins like a JSON object but is none: {error}") from error


@require_GET
@member_page
def runs(request: HttpRequest, principal: Principal) -> HttpResponse:
    """The tenant's runs, newest first. With `?part=rows`, only the rows."""
    status, agent = request.GET.get("status", ""), request.GET.get("agent", "")
    found = Run.objects.of(principal.tenant).whole().newest_first()
    if status in Run.Status.values:
        found = found.filter(status=status)
    if agent:
        found = found.filter(version__agent__slug=agent)
    page = Paginator(found, RUNS_A_PAGE).get_page(request.GET.get("page"))
    if request.GET.get("part") == "rows":
        return render(request, "console/_runs.html", {"page": page})
    context = {
        "page": page,
        "statuses": Run.Status.choices,
        "status": status,
        "agents": Agent.objects.of(principal.tenant).filter(archived_at=None).order_by("slug"),
        "agent": agent,
        "may_run": ApiKey.Scope.RUN in principal.scopes,
    }
    return render(request, "console/runs.html", context)


@require_http_methods(["GET", "POST"])
@member_page
def new_run(request: HttpRequest, principal: Principal) -> HttpResponse:
    """The form that starts a run."""
    if ApiKey.Scope.RUN not in principal.scopes:
        return render(request, "console/refused.html", {"what": "start runs", "role": principal.role}, status=403)
    agents = list(Agent.objects.of(principal.tenant).filter(archived_at=None).order_by("slug"))
    form = RunForm(agents, request.POST or None, initial={"agent": request.GET.get("agent")})
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        try:
            started = services.start_run(
                tenant=principal.tenant,
                agent=said["agent"],
                input=said["input"],
                user_id=said["user_id"] or None,
                session_id=said["session_id"] or None,
                by=principal.name,
            )
        except LoomError as error:
            form.add_error(None, str(error))
        else:
            return redirect("console:run", run_id=started.pk)
    return render(
        request, "console/new_run.html", {"form": form, "agents": agents}, status=200 if not form.errors else 422
    )


@require_GET
@member_page
def run(request: HttpRequest, principal: Principal, run_id: UUID) -> HttpResponse:
    """One run: its summary, and its newest events step by step and one by one. `?last=` says how many."""
    found = find_run(principal, run_id)
    shown = _number(request, "last") or EVENTS_A_PAGE
    first = max(0, found.last_seq - shown)
    rows = _known(found, after=first)
    context = _summary(found, principal) | {
        "events": [describe(event) for event in rows],
        "steps": steps_of(rows, is_over=found.is_over),
        "hidden": first,
        "more": shown + EVENTS_A_PAGE,
        "view": "events" if request.GET.get("view") == "events" else "steps",
    }
    return render(request, "console/run.html", context)


@require_GET
@member_page
def events(request: HttpRequest, principal: Principal, run_id: UUID) -> HttpResponse:
    """The pieces of the run's page that have changed: its summary, the events after a number, a page at most, and the
    steps of the newest ones."""
    found = find_run(principal, run_id)
    after = _number(request, "after") or 0
    first = max(0, found.last_seq - EVENTS_A_PAGE)
    rows = _known(found, after=min(after, first))
    fresh = [row for row in rows if row.seq > after][:EVENTS_A_PAGE]
    context = _summary(found, principal) | {
        "events": [describe(event) for event in fresh],
        "steps": steps_of([row for row in rows if row.seq > first], is_over=found.is_over),
    }
    return render(request, "console/_news.html", context)


@require_POST
@member_page
def choose_tenant(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Look at another of one's tenants.

    A tenant that is not one's own changes nothing: the middleware picks another.
    """
    request.session[SESSION_TENANT] = request.POST.get("tenant", "")
    return redirect("console:runs")


def find_run(principal: Principal, run_id: UUID) -> Run:
    try:
        found: Run = Run.objects.of(principal.tenant).whole().one(run_id)
    except NotFound as error:
        raise Http404(str(error)) from error
    return found


def _known(found: Run, *, after: int) -> list[RunEvent]:
    """The events after a number that the run's summary knows of, so that a page never shows the end of a run that it
    says is running: whoever listens from its last number on hears the rest."""
    return services.read_events(found.pk, after=after, limit=max(0, found.last_seq - after))


def _summary(found: Run, principal: Principal) -> dict[str, Any]:
    """What both the page and its news say of the run itself."""
    may_run = ApiKey.Scope.RUN in principal.scopes
    waits = Approval.objects.of(principal.tenant).filter(pk__in=found.waiting_for).order_by("pk")
    return {
        "run": found,
        "waits": list(waits) if found.waiting_for else [],
        "may_steer": may_run,
        "may_replay": may_run and (found.is_over or found.status == Run.Status.WAITING),
    }


def _number(request: HttpRequest, name: str) -> int | None:
    given = request.GET.get(name, "")
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 10 else None
