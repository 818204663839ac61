"""The console's pages of schedules."""

from __future__ import annotations

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
from agents.models import Agent, Schedule
from agents.views.runs import RunForm
from governance.auth import Principal
from governance.models import ApiKey
from governance.views.members import member_page
from loom.errors import LoomError, NotFound

SCHEDULES_A_PAGE = 50


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
