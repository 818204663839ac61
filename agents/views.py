"""The console's pages: what the tenant's runs are doing, and a form to start one.

Pages are whole without a script. A script that hears of a change asks for the same piece of the page again.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from agents import services
from agents.models import Agent, Run, RunEvent, Schedule
from agents.schemas import MAX_INPUT_BYTES
from governance.auth import SESSION_TENANT, Principal
from governance.models import ApiKey
from governance.views.members import member_page
from loom.errors import LoomError, NotFound

RUNS_A_PAGE = 50
EVENTS_A_PAGE = 200
LINE = 100
SCHEDULES_A_PAGE = 50


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


class ScheduleForm(RunForm):
    """What a person may say about a new schedule."""

    name = forms.CharField(max_length=200, widget=forms.TextInput(attrs={"autofocus": True}))
    cron = forms.CharField(
        max_length=200,
        label="When",
        help_text="Minute, hour, day, month, weekday: 30 8 * * mon-fri is half past eight on working days.",
    )
    time_zone = forms.CharField(
        max_length=100, initial="UTC", help_text="A name like Europe/Berlin; it knows about summer time."
    )
    missed = forms.ChoiceField(
        choices=[
            ("skip", "Skip them"),
            ("once", "Run once for all of them"),
            ("all", "Run for each of them"),
        ],
        label="Missed times",
        help_text="What to do after a time in which nothing could run.",
    )
    field_order = ("name", "agent", "cron", "time_zone", "input", "missed", "user_id", "session_id")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["input"].widget.attrs.pop("autofocus", None)


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
    """One run: its summary and the newest of its events, `?last=` says how many."""
    found = _run(principal, run_id)
    asked = request.GET.get("last", "")
    shown = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 10 else EVENTS_A_PAGE
    first = max(0, found.last_seq - shown)
    context = {"run": found, "events": _events(found, after=first), "hidden": first, "more": shown + EVENTS_A_PAGE}
    return render(request, "console/run.html", context)


@require_GET
@member_page
def events(request: HttpRequest, principal: Principal, run_id: UUID) -> HttpResponse:
    """The pieces of the run's page that have changed: its summary, and the events after a number, a page at most."""
    found = _run(principal, run_id)
    after = request.GET.get("after", "")
    number = int(after) if after.isascii() and after.isdecimal() and len(after) < 10 else 0
    shown = _events(found, after=number, limit=EVENTS_A_PAGE)
    return render(request, "console/_news.html", {"run": found, "events": shown})


@require_GET
@member_page
def schedules(request: HttpRequest, principal: Principal) -> HttpResponse:
    """The tenant's schedules with their next times."""
    found = Schedule.objects.of(principal.tenant).whole().order_by("slug")
    page = Paginator(found, SCHEDULES_A_PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "may_run": ApiKey.Scope.RUN in principal.scopes}
    return render(request, "console/schedules.html", context)


@require_http_methods(["GET", "POST"])
@member_page
def new_schedule(request: HttpRequest, principal: Principal) -> HttpResponse:
    """The form that makes a schedule."""
    if ApiKey.Scope.RUN not in principal.scopes:
        return render(request, "console/refused.html", {"what": "make schedules", "role": principal.role}, status=403)
    agents = list(Agent.objects.of(principal.tenant).filter(archived_at=None).order_by("slug"))
    form = ScheduleForm(agents, request.POST or None, initial={"agent": request.GET.get("agent")})
    if request.method == "POST" and form.is_valid():
        said: dict[str, Any] = {name: value or None for name, value in form.cleaned_data.items()}
        slug = slugify(form.cleaned_data["name"])[:100] or "schedule"
        try:
            services.create_schedule(tenant=principal.tenant, slug=slug, by=principal.name, **said)
        except LoomError as error:
            pointed = error.facts.get("pointer", "").lstrip("/")
            form.add_error(pointed if pointed in form.fields else None, str(error))
        else:
            return redirect("console:schedules")
    return render(
        request, "console/new_schedule.html", {"form": form, "agents": agents}, status=200 if not form.errors else 422
    )


@require_POST
@member_page
def schedule(request: HttpRequest, principal: Principal, schedule_id: UUID) -> HttpResponse:
    """Pause, resume, run or delete a schedule: `do` says which."""
    named: dict[str, Any] = {"tenant": principal.tenant, "schedule_id": schedule_id, "by": principal.name}
    try:
        Schedule.objects.of(principal.tenant).one(schedule_id)
        if ApiKey.Scope.RUN not in principal.scopes:
            what = {"what": "change schedules", "role": principal.role}
            return render(request, "console/refused.html", what, status=403)
        match request.POST.get("do"):
            case "pause" | "resume" as do:
                services.change_schedule(**named, enabled=do == "resume")
            case "run":
                return redirect("console:run", run_id=services.run_schedule_now(**named).pk)
            case "delete":
                services.delete_schedule(**named)
    except NotFound as error:
        raise Http404(str(error)) from error
    except LoomError as error:
        messages.error(request, str(error))
    return redirect("console:schedules")


@require_POST
@member_page
def choose_tenant(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Look at another of one's tenants.

    A tenant that is not one's own changes nothing: the middleware picks another.
    """
    request.session[SESSION_TENANT] = request.POST.get("tenant", "")
    return redirect("console:runs")


def _run(principal: Principal, run_id: UUID) -> Run:
    try:
        found: Run = Run.objects.of(principal.tenant).whole().one(run_id)
    except NotFound as error:
        raise Http404(str(error)) from error
    return found


def _events(found: Run, *, after: int, limit: int | None = None) -> list[dict[str, Any]]:
    return [_shown(event) for event in services.read_events(found.pk, after=after, limit=limit)]


def _shown(event: RunEvent) -> dict[str, Any]:
    """An event as the page tells it: what is for reading, and the rest as JSON."""
    data, value = event.data, event.data.get("value")
    family, _, _ = event.kind.partition(".")
    shown: dict[str, Any] = {"event": event, "family": family, "detail": json.dumps(data, indent=2, ensure_ascii=False)}
    if event.kind == "run.started":
        said = data["input"]
        shown["text"] = said if isinstance(said, str) else said.get("mail") or json.dumps(said, ensure_ascii=False)
    elif event.kind == "model.completed":
        calls = [{"tool": call["tool"], "args": _readable(call["args"])} for call in value["tool_calls"]]
        shown |= {"text": value["text"], "calls": calls, "usage": value["usage"]}
    elif event.kind == "tool.started":
        shown |= {"title": data.get("tool"), "code": _readable(data.get("args"))}
    elif event.kind == "tool.completed":
        failed = not value["ok"]
        shown |= {
            "text": _readable(value.get("reason") or value.get("error") if failed else value["output"]),
            "failed": failed,
        }
    elif event.kind == "run.succeeded":
        shown["text"] = data["output"]
    elif event.kind == "run.failed":
        shown |= {"text": data["error"]["message"], "failed": True, "title": data["error"]["type"]}
    elif event.kind == "architecture.step.completed":
        shown["code"] = _readable(value)
    elif event.kind.startswith("architecture.workflow"):
        shown["title"] = data.get("node")
    return shown


def _readable(value: Any) -> str:
    """A text as it is, and JSON on one line where that is not too long."""
    if isinstance(value, str):
        return value
    line = json.dumps(value, ensure_ascii=False)
    return line if len(line) <= LINE else json.dumps(value, indent=2, ensure_ascii=False)
