"""The operator's view of agents and runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.paginator import InfinitePaginator

from agents import services
from agents.models import Agent, AgentLabel, AgentVersion, Run, RunEvent, Schedule, Worker
from governance import tenancy
from governance.admin import ReadOnlyInline, TenantRows
from loom.errors import LoomError

EVENTS_SHOWN = 500
STATUS_COLORS = {
    Run.Status.QUEUED.label: "info",
    Run.Status.RUNNING.label: "info",
    Run.Status.WAITING.label: "warning",
    Run.Status.CANCELLING.label: "warning",
    Run.Status.SUCCEEDED.label: "success",
    Run.Status.FAILED.label: "danger",
    Run.Status.CANCELLED.label: "default",
}


def _pretty(value: Any) -> str:
    if value is None:
        return "-"
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))


class VersionInline(ReadOnlyInline):
    model = AgentVersion
    fields = ["number", "hash", "specification", "created_at", "created_by"]
    readonly_fields = fields
    ordering = ["-number"]

    @admin.display(description="specification")
    def specification(self, version: AgentVersion) -> str:
        return _pretty(version.spec)


class LabelInline(ReadOnlyInline):
    model = AgentLabel
    fields = ["name", "version"]
    readonly_fields = fields
    ordering = ["name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[AgentLabel]:
        labels: QuerySet[AgentLabel] = super().get_queryset(request).select_related("version__agent")
        return labels


@admin.register(Agent)
class AgentAdmin(TenantRows):
    list_display = ["slug", "name", "labels", "max_running", "retention_days", "created_at", "archived_at"]
    list_filter = [("archived_at", admin.EmptyFieldListFilter)]
    search_fields = ["slug", "name", "description"]
    fields = ["slug", "name", "description", "max_running", "retention_days", "created_at", "archived_at"]
    readonly_fields = ["slug", "created_at", "archived_at"]
    inlines = [LabelInline, VersionInline]
    actions = ["archive"]
    ordering = ["slug"]

    def has_change_permission(self, request: HttpRequest, obj: Agent | None = None) -> bool:
        return self.has_administer_permission(request) and (obj is None or obj.archived_at is None)

    def save_model(self, request: HttpRequest, obj: Agent, form: Any, change: bool) -> None:
        principal = request.principal  # type: ignore[attr-defined]
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        services.change_agent(tenant=principal.tenant, slug=obj.slug, by=principal.name, **changes)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Agent]:
        agents: QuerySet[Agent] = super().get_queryset(request).prefetch_related("labels__version")
        return agents

    @admin.display(description="labels")
    def labels(self, agent: Agent) -> str:
        return ", ".join(f"{label.name} → {label.version.number}" for label in agent.labels.all())

    @admin.action(description="Take out of use", permissions=["administer"])
    def archive(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        for agent in queryset.filter(archived_at=None):
            principal = request.principal  # type: ignore[attr-defined]
            services.archive_agent(tenant=principal.tenant, slug=agent.slug, by=principal.name)


@admin.register(Run)
class RunAdmin(TenantRows):
    list_display = ["id", "state", "version", "user_id", "turns", "cost_usd", "created_at", "finished_at"]
    list_select_related = ["version__agent"]
    list_filter = ["status", "created_at"]
    search_fields = ["id", "user_id", "session_id"]
    fields = [
        "page", "state", "version", "user_id", "session_id", "shown_input", "output", "shown_parsed", "shown_error",
        "turns", "input_tokens", "cached_input_tokens", "output_tokens", "cost_usd", "attempt", "lease_owner",
        "lease_until", "priority", "not_before", "deadline_at", "created_at", "started_at", "finished_at", "trace_id",
        "happened",
    ]  # fmt: skip
    readonly_fields = fields
    actions = ["cancel"]
    ordering = ["-id"]
    paginator = InfinitePaginator

    @display(description="status", ordering="status", label=STATUS_COLORS)  # type: ignore[untyped-decorator]
    def state(self, run: Run) -> str:
        return str(Run.Status(run.status).label)

    @admin.display(description="console")
    def page(self, run: Run) -> str:
        return format_html('<a href="{}">watch this run</a>', reverse("console:run", args=[run.pk]))

    @admin.display(description="input")
    def shown_input(self, run: Run) -> str:
        return _pretty(run.input)

    @admin.display(description="parsed")
    def shown_parsed(self, run: Run) -> str:
        return _pretty(run.parsed)

    @admin.display(description="error")
    def shown_error(self, run: Run) -> str:
        return _pretty(run.error)

    @admin.display(description="events")
    def happened(self, run: Run) -> str:
        """The journal in order, as far as a page should hold it."""
        lines = services.read_events(run.pk, limit=EVENTS_SHOWN)
        rows = ((line.seq, line.kind, line.step_key, _pretty(line.data)) for line in lines)
        body = format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>", rows)
        more = f"and {run.last_seq - len(lines)} more" if run.last_seq > len(lines) else ""
        return format_html("<table><tbody>{}</tbody></table>{}", body, more)

    @admin.action(description="Cancel", permissions=["steer"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        """End the selected runs. Undoing what they did is asked for on their own pages."""
        principal = request.principal  # type: ignore[attr-defined]
        for run in queryset.order_by("pk"):
            try:
                services.cancel_run(tenant=principal.tenant, run_id=run.pk, by=principal.name)
            except LoomError as error:
                self.message_user(request, str(error), messages.ERROR)


@admin.register(RunEvent)
class RunEventAdmin(TenantRows):
    list_display = ["run", "seq", "kind", "step_key", "at"]
    list_select_related = ["run"]
    list_filter = ["at"]
    search_fields = ["run__id", "kind", "step_key"]
    fields = ["run", "seq", "kind", "step_key", "at", "shown_data"]
    readonly_fields = fields
    ordering = ["-id"]
    paginator = InfinitePaginator

    @admin.display(description="data")
    def shown_data(self, event: RunEvent) -> str:
        return _pretty(event.data)


@admin.register(Schedule)
class ScheduleAdmin(TenantRows):
    list_display = ["slug", "state", "agent", "cron", "time_zone", "next_at", "last_fired_at", "last_run"]
    list_select_related = ["last_run"]
    list_filter = ["enabled", "missed"]
    search_fields = ["slug", "name", "agent"]
    fields = [
        "slug", "name", "state", "agent", "shown_input", "user_id", "session_id", "cron", "time_zone", "missed",
        "shown_times", "last_fired_at", "last_run", "last_error", "created_at", "created_by", "changed_by",
    ]  # fmt: skip
    readonly_fields = fields
    actions = ["pause", "resume", "run_now"]
    ordering = ["slug"]

    @display(  # type: ignore[untyped-decorator]
        description="state", ordering="enabled", label={"on": "success", "paused": "default", "failing": "danger"}
    )
    def state(self, schedule: Schedule) -> str:
        if not schedule.enabled:
            return "paused"
        return "failing" if schedule.last_error else "on"

    @admin.display(description="input")
    def shown_input(self, schedule: Schedule) -> str:
        return _pretty(schedule.input)

    @admin.display(description="next times")
    def shown_times(self, schedule: Schedule) -> str:
        times = ((time.isoformat(),) for time in schedule.next_fire_times)
        return format_html_join("", "{}<br>", times) or "-"

    @admin.action(description="Pause", permissions=["administer"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        self._each(request, queryset, services.change_schedule, enabled=False)

    @admin.action(description="Resume", permissions=["administer"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        self._each(request, queryset, services.change_schedule, enabled=True)

    @admin.action(description="Run now", permissions=["administer"])
    def run_now(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        self._each(request, queryset, services.run_schedule_now)

    def _each(
        self, request: HttpRequest, queryset: QuerySet[Schedule], service: Callable[..., Any], **more: Any
    ) -> None:
        principal = request.principal  # type: ignore[attr-defined]
        for schedule in queryset:
            try:
                service(tenant=principal.tenant, schedule_id=schedule.pk, by=principal.name, **more)
            except LoomError as error:
                self.message_user(request, str(error), messages.ERROR)


@admin.register(Worker)
class WorkerAdmin(ModelAdmin):  # type: ignore[misc]
    """For the platform's staff: the processes, and how much each tenant has for them to do."""

    list_display = ["owner", "held", "capacity", "version", "started_at", "seen_at"]
    ordering = ["-seen_at"]
    list_before_template = "console/admin_depth.html"

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_add_permission
    has_delete_permission = has_add_permission

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        depth = _depth_by_tenant() if request.user.is_superuser else []
        response: HttpResponse = super().changelist_view(request, {**(extra_context or {}), "depth": depth})
        return response


def _depth_by_tenant() -> list[dict[str, Any]]:
    """How many runs of each tenant are in each state that is no end, the longest queue first."""
    states = (Run.Status.QUEUED, Run.Status.RUNNING, Run.Status.WAITING, Run.Status.CANCELLING)
    counts = {str(state): Count("pk", filter=Q(status=state)) for state in states}
    with tenancy.scheduler_scope():
        open_ = Run.objects.filter(status__in=states).values("tenant__slug")
        return list(open_.annotate(**counts).order_by("-queued", "tenant__slug"))
