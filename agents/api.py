"""Agents and runs over HTTP."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any
from uuid import UUID

from django.http import HttpResponse, StreamingHttpResponse
from ninja import Query, Router, Status

from agents import services, stream
from agents.models import Agent, AgentVersion, Run, Schedule
from agents.schemas import (
    AgentIn,
    AgentOut,
    AgentPatch,
    CancelIn,
    EventList,
    EventQuery,
    ForkIn,
    PromoteIn,
    ReplayOut,
    ReplayQuery,
    RetryIn,
    RunIn,
    RunOut,
    RunQuery,
    ScheduleIn,
    ScheduleOut,
    SchedulePatch,
    VersionIn,
    VersionOut,
)
from governance.schemas import Call, Page, PageQuery, page
from loom.errors import Denied, Invalid

RETRY_MILLISECONDS = 2000
HEARTBEAT_SECONDS = 15.0
EVENT_STREAM = {"responses": {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}}

runs = Router(tags=["runs"])
agents = Router(tags=["agents"])
schedules = Router(tags=["schedules"])


@runs.post("", response={202: RunOut}, operation_id="start_run")
def start_run(request: Call, payload: RunIn) -> Any:
    """Accept a run. A worker begins with it at once; watch its events, or ask again for the answer."""
    run = services.start_run(tenant=request.auth.tenant, by=request.auth.name, **payload.dict())
    return Status(202, run)


@runs.get("", response=Page[RunOut], operation_id="list_runs")
def list_runs(request: Call, query: Query[RunQuery]) -> Any:
    """The tenant's runs, newest first."""
    found = Run.objects.of(request.auth.tenant).whole().matching(**query.filters())
    return page(found.page("-id", after=query.after(UUID), limit=query.limit), limit=query.limit, key="id")


@runs.get("/{uuid:run_id}", response=RunOut, operation_id="get_run")
def get_run(request: Call, run_id: UUID) -> Any:
    return Run.objects.of(request.auth.tenant).whole().one(run_id)


@runs.post("/{uuid:run_id}/cancel", response={202: RunOut}, operation_id="cancel_run")
def cancel_run(request: Call, run_id: UUID, payload: CancelIn | None = None) -> Any:
    """End a run. One that a worker has in hand is `cancelling` until it has stopped, within two seconds."""
    said = payload.dict() if payload else {}
    services.cancel_run(tenant=request.auth.tenant, run_id=run_id, by=request.auth.name, **said)
    return Status(202, Run.objects.of(request.auth.tenant).whole().one(run_id))


@runs.get("/{uuid:run_id}/replay", response=ReplayOut, operation_id="preview_replay")
def preview_replay(request: Call, run_id: UUID, query: Query[ReplayQuery]) -> Any:
    """What a retry or a fork would keep and do again, and which effects might then happen twice."""
    return services.preview_replay(tenant=request.auth.tenant, run_id=run_id, from_seq=query.from_seq)


@runs.post("/{uuid:run_id}/retry", response={202: RunOut}, operation_id="retry_run")
def retry_run(request: Call, run_id: UUID, payload: RetryIn | None = None) -> Any:
    """Go on in a new run with what an ended run has done: all that it had finished, or what came before an event.

    The new run counts only what it spends itself.
    """
    said = payload.dict() if payload else {}
    return Status(202, services.retry_run(tenant=request.auth.tenant, run_id=run_id, by=request.auth.name, **said))


@runs.post("/{uuid:run_id}/fork", response={202: RunOut}, operation_id="fork_run")
def fork_run(request: Call, run_id: UUID, payload: ForkIn) -> Any:
    """Go on otherwise in a new run: what came before an event is kept, and the event itself as you edit it.

    The run may have ended or be waiting; it stays as it is.
    """
    run = services.fork_run(tenant=request.auth.tenant, run_id=run_id, by=request.auth.name, **payload.changes())
    return Status(202, run)


@runs.get("/{uuid:run_id}/events", response=EventList, operation_id="list_run_events", openapi_extra=EVENT_STREAM)
def list_run_events(request: Call, run_id: UUID, query: Query[EventQuery]) -> Any:
    """What happened in the run, in order.

    With `Accept: text/event-stream` the answer is a stream that ends after the run's last event. A `Last-Event-ID` goes
    before `after`. Events of kind `model.delta` are live text: they have no id and are not repeated.
    """
    run = Run.objects.of(request.auth.tenant).one(run_id)
    if request.get_preferred_type(["application/json", "text/event-stream"]) != "text/event-stream":
        return {"items": services.read_events(run.pk, after=query.after, limit=query.limit)}
    after = _last_event_id(request, query.after)
    if run.is_over and after >= run.last_seq:
        return HttpResponse(status=204)  # what tells an EventSource not to come back
    frames = _frames(stream.follow(run.tenant_id, run.pk, after=after, allowed=request.auth.is_current))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(frames, content_type="text/event-stream", headers=headers)


def _last_event_id(request: Call, otherwise: int) -> int:
    given = request.headers.get("Last-Event-ID", "")
    if not given:
        return otherwise
    if not (given.isascii() and given.isdecimal() and int(given[:11]) < 2**31):
        raise Invalid("Last-Event-ID must be the id of an event of this run", pointer="/header/Last-Event-ID")
    return int(given)


async def _frames(notices: AsyncGenerator[stream.Notice | None, None]) -> AsyncGenerator[str, None]:
    """The notices as server-sent events, with a comment now and then so that no proxy takes the silence for death."""
    yield f"retry: {RETRY_MILLISECONDS}\n\n"
    said_at = time.monotonic()
    with suppress(Denied):  # for one whose credential was revoked, the stream simply ends
        async with aclosing(notices):
            async for notice in notices:
                if notice is None and time.monotonic() - said_at < HEARTBEAT_SECONDS - stream.POLL_SECONDS:
                    continue
                yield _frame(notice) if notice else ": still here\n\n"
                said_at = time.monotonic()


def _frame(notice: stream.Notice) -> str:
    number = "" if notice.seq is None else f"id: {notice.seq}\n"
    return f"{number}event: {notice.kind}\ndata: {notice.json}\n\n"


@agents.get("", response=Page[AgentOut], operation_id="list_agents")
def list_agents(request: Call, query: Query[PageQuery]) -> Any:
    """The tenant's agents by slug."""
    found = Agent.objects.of(request.auth.tenant).active().with_labels()
    return page(found.page("slug", after=query.after(str), limit=query.limit), limit=query.limit, key="slug")


@agents.post("", response={201: AgentOut}, operation_id="create_agent")
def create_agent(request: Call, payload: AgentIn) -> Any:
    """Make an agent with its first version, which becomes its production version."""
    version = services.create_agent(tenant=request.auth.tenant, by=request.auth.name, **payload.dict())
    return Status(201, version.agent)


@agents.get("/{slug}", response=AgentOut, operation_id="get_agent")
def get_agent(request: Call, slug: str) -> Any:
    return Agent.objects.of(request.auth.tenant).active().with_labels().named(slug)


@agents.patch("/{slug}", response=AgentOut, operation_id="change_agent")
def change_agent(request: Call, slug: str, payload: AgentPatch) -> Any:
    """Change what is said of an agent and how much of it may run. What it does is changed by a new version."""
    return services.change_agent(tenant=request.auth.tenant, slug=slug, by=request.auth.name, **payload.changes())


@agents.delete("/{slug}", response={204: None}, operation_id="archive_agent")
def archive_agent(request: Call, slug: str) -> Any:
    """Take an agent out of use. Its runs and versions stay readable; runs that are under way go on."""
    services.archive_agent(tenant=request.auth.tenant, slug=slug, by=request.auth.name)
    return Status(204, None)


@agents.get("/{slug}/versions", response=Page[VersionOut], operation_id="list_agent_versions")
def list_agent_versions(request: Call, slug: str, query: Query[PageQuery]) -> Any:
    """The agent's versions, newest first."""
    agent = Agent.objects.of(request.auth.tenant).active().named(slug)
    found = AgentVersion.objects.of(request.auth.tenant).filter(agent=agent).prefetch_related("labels")
    return page(found.page("-number", after=query.after(int), limit=query.limit), limit=query.limit, key="number")


@agents.post("/{slug}/versions", response={201: VersionOut}, operation_id="add_agent_version")
def add_agent_version(request: Call, slug: str, payload: VersionIn) -> Any:
    """Add a version. The same specification as the newest version gives that version back."""
    agent = Agent.objects.of(request.auth.tenant).active().named(slug)
    version = services.add_version(tenant=request.auth.tenant, agent=agent, spec=payload.spec, by=request.auth.name)
    return Status(201, version)


@agents.post("/{slug}/promote", response=AgentOut, operation_id="promote_agent_version")
def promote_agent_version(request: Call, slug: str, payload: PromoteIn) -> Any:
    """Move a label to a version. Runs that are under way stay on theirs."""
    tenant = request.auth.tenant
    agent = Agent.objects.of(tenant).active().named(slug)
    version = AgentVersion.objects.of(tenant).numbered(agent, payload.version)
    services.promote(tenant=tenant, agent=agent, version=version, label=payload.label, by=request.auth.name)
    return agent


@schedules.get("", response=Page[ScheduleOut], operation_id="list_schedules")
def list_schedules(request: Call, query: Query[PageQuery]) -> Any:
    """The tenant's schedules by slug."""
    found = Schedule.objects.of(request.auth.tenant)
    return page(found.page("slug", after=query.after(str), limit=query.limit), limit=query.limit, key="slug")


@schedules.post("", response={201: ScheduleOut}, operation_id="create_schedule")
def create_schedule(request: Call, payload: ScheduleIn) -> Any:
    """Start a run at each time that a cron line names, in a time zone."""
    schedule = services.create_schedule(tenant=request.auth.tenant, by=request.auth.name, **payload.dict())
    return Status(201, schedule)


@schedules.get("/{uuid:schedule_id}", response=ScheduleOut, operation_id="get_schedule")
def get_schedule(request: Call, schedule_id: UUID) -> Any:
    return Schedule.objects.of(request.auth.tenant).one(schedule_id)


@schedules.patch("/{uuid:schedule_id}", response=ScheduleOut, operation_id="change_schedule")
def change_schedule(request: Call, schedule_id: UUID, payload: SchedulePatch) -> Any:
    """Change it, pause it with `"enabled": false`, and resume it."""
    changes = payload.dict(exclude_unset=True)
    return services.change_schedule(
        tenant=request.auth.tenant, schedule_id=schedule_id, by=request.auth.name, **changes
    )


@schedules.delete("/{uuid:schedule_id}", response={204: None}, operation_id="delete_schedule")
def delete_schedule(request: Call, schedule_id: UUID) -> Any:
    """Take it away. The runs that it started stay."""
    services.delete_schedule(tenant=request.auth.tenant, schedule_id=schedule_id, by=request.auth.name)
    return Status(204, None)


@schedules.post("/{uuid:schedule_id}/run", response={202: RunOut}, operation_id="run_schedule")
def run_schedule(request: Call, schedule_id: UUID) -> Any:
    """Start its run now, paused or not. Its next time stays."""
    run = services.run_schedule_now(tenant=request.auth.tenant, schedule_id=schedule_id, by=request.auth.name)
    return Status(202, run)
