"""What the API of agents and runs accepts and returns."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from ninja import Schema
from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints
from pydantic_core import PydanticCustomError, to_json

from agents.core.cron import Missed
from agents.core.runtime.edits import EditedMessage
from agents.models import Agent, AgentVersion, Run, Schedule
from governance.core import json_schema
from governance.schemas import Body, Name, PageQuery

MAX_INPUT_BYTES = 1024 * 1024
MAX_SPEC_BYTES = 256 * 1024
MAX_METADATA_BYTES = 16 * 1024

Slug = Annotated[str, StringConstraints(pattern=r"^[-a-zA-Z0-9_]+$", max_length=100)]
Label = Annotated[str, StringConstraints(pattern=r"^[-a-zA-Z0-9_]*[-a-zA-Z_][-a-zA-Z0-9_]*$", max_length=50)]
Reference = Annotated[
    str, StringConstraints(pattern=r"^[-a-zA-Z0-9_]{1,100}(@[-a-zA-Z0-9_]{1,50})?$"), Field(examples=["assistant"])
]


def _at_most(size: int) -> AfterValidator:
    def check(value: Any) -> Any:
        if len(to_json(value)) > size:
            raise PydanticCustomError("too_large", f"must be at most {size} bytes of JSON")
        return value

    return AfterValidator(check)


def _text_or_object(value: Any) -> Any:
    if not isinstance(value, str | dict):
        raise PydanticCustomError("text_or_object", "must be a string or an object")
    return value


def _json_schema(value: dict[str, Any] | None) -> dict[str, Any] | None:
    if value is not None:
        try:
            json_schema.check(value)
        except ValueError as error:
            raise PydanticCustomError(
                "json_schema", "must be a JSON Schema: {problem}", {"problem": str(error)}
            ) from error
    return value


Input = Annotated[
    Any,
    AfterValidator(_text_or_object),
    _at_most(MAX_INPUT_BYTES),
    Field(json_schema_extra={"anyOf": [{"type": "string"}, {"type": "object"}]}),
]
UserId = Annotated[str, Field(min_length=1, max_length=200, description="whom the run is for, in your words")]
SessionId = Annotated[str, Field(min_length=1, max_length=200, description="the conversation to go on with")]
CronLine = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=200),
    Field(description="minute, hour, day, month, weekday", examples=["30 8 * * mon-fri"]),
]
TimeZone = Annotated[str, StringConstraints(max_length=100), Field(examples=["Europe/Berlin"])]


class RunIn(Body):
    agent: Reference = Field(description="`slug`, `slug@3` or `slug@label`; without `@` the production version")
    input: Input
    user_id: UserId | None = None
    session_id: SessionId | None = None
    metadata: Annotated[dict[str, Any], _at_most(MAX_METADATA_BYTES)] = Field(default_factory=dict)
    output_schema: Annotated[dict[str, Any] | None, _at_most(MAX_SPEC_BYTES), AfterValidator(_json_schema)] = None
    priority: int = Field(0, ge=-100, le=100)
    not_before: AwareDatetime | None = Field(None, description="begin then, or at once when that is over")
    deadline_seconds: float | None = Field(None, gt=0, le=30 * 24 * 3600)


class Usage(Schema):
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    cost_usd: float


class RunOut(Schema):
    id: UUID
    status: Run.Status
    agent: str
    agent_version: int
    user_id: str | None
    session_id: str
    input: Any
    output: str | None
    parsed: Any
    error: dict[str, Any] | None
    usage: Usage
    turns: int
    attempt: int
    last_seq: int
    created_at: datetime
    not_before: datetime | None = Field(description="when it will begin, until it does")
    deadline_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    trace_id: str
    waiting_for: list[UUID] = Field(description="the approvals that are open")
    parent_run_id: UUID | None

    @staticmethod
    def resolve_agent(run: Run) -> str:
        return str(run.version.agent.slug)

    @staticmethod
    def resolve_agent_version(run: Run) -> int:
        return int(run.version.number)

    @staticmethod
    def resolve_usage(run: Run) -> Run:
        return run

    @staticmethod
    def resolve_parent_run_id(run: Run) -> UUID | None:
        return run.parent_id


class CancelIn(Body):
    reason: str = Field("", max_length=1000)
    compensate: bool = Field(False, description="undo what its tools have done and can undo, the last first")


class ScheduleIn(Body):
    slug: Slug
    name: Annotated[str, StringConstraints(max_length=200)] = ""
    agent: Reference = Field(description="`slug`, `slug@3` or `slug@label`; looked up at each time it fires")
    input: Input
    user_id: UserId | None = None
    session_id: SessionId | None = None
    cron: CronLine
    time_zone: TimeZone = "UTC"
    missed: Missed = Field(Missed.SKIP, description="what becomes of times at which nothing ran")
    enabled: bool = True


_ABSENT: Any = None  # the default of what may be left out but not be null


class SchedulePatch(Body):
    """What is not sent stays. A user and a session that are null are none."""

    name: Name = _ABSENT
    agent: Reference = _ABSENT
    input: Input = _ABSENT
    user_id: UserId | None = None
    session_id: SessionId | None = None
    cron: CronLine = _ABSENT
    time_zone: TimeZone = _ABSENT
    missed: Missed = _ABSENT
    enabled: Annotated[bool, Field(description="false pauses it; what is missed meanwhile is over")] = _ABSENT


class ScheduleOut(Schema):
    id: UUID
    slug: str
    name: str
    agent: str
    input: Any
    user_id: str | None
    session_id: str | None
    cron: str
    time_zone: str
    missed: Missed
    enabled: bool
    next_fire_times: list[datetime] = Field(description="the next five, in UTC; none while it is paused")
    last_fired_at: datetime | None
    last_run_id: UUID | None
    last_error: str | None = Field(description="why it could not start a run the last time")
    created_at: datetime
    created_by: str
    changed_by: str

    @staticmethod
    def resolve_last_error(schedule: Schedule) -> str | None:
        return schedule.last_error or None


Seq = Annotated[int, Field(ge=1, le=2**31 - 1)]


class RetryIn(Body):
    from_seq: Seq | None = Field(None, description="do this event and what follows again; else what was unfinished")


class EditIn(Body):
    """What to change: one of these."""

    input: Annotated[Any, _at_most(MAX_INPUT_BYTES)] = Field(None, description="of `run.started`: a text or an object")
    tool_result: Annotated[Any, _at_most(MAX_INPUT_BYTES)] = Field(None, description="of `tool.completed`: any JSON")
    message: Annotated[str | EditedMessage | None, _at_most(MAX_INPUT_BYTES)] = Field(
        None, description="of `model.completed`: the text, or the text and the tool calls"
    )


class ForkIn(Body):
    at_seq: Seq = Field(description="the event to edit, or without `edit` the first one to do again")
    edit: EditIn | None = None
    agent_version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = Field(None, description="else the run's own")

    def changes(self) -> dict[str, Any]:
        return {**self.dict(exclude={"edit"}), "edit": self.edit and self.edit.dict(exclude_unset=True)}


class ReplayQuery(Schema):
    from_seq: Seq | None = Field(None, description="as for a retry; for a fork that edits an event, the one after it")


class StepOut(Schema):
    """A step that would be taken again. What comes after it may turn out otherwise."""

    seq: int
    kind: str
    step_key: str
    tool: str | None


class EffectOut(Schema):
    """A call that would be made again."""

    seq: int
    step_key: str
    tool: str
    args: str = Field(description="the beginning of its arguments as JSON")
    effect: str
    may_happen_twice: bool = Field(description="nothing keeps it from having its effect a second time")
    asks_first: bool = Field(description="a person is asked what became of it before it is made again")


class ReplayOut(Schema):
    from_seq: int
    kept: int = Field(description="how many finished steps are kept")
    again: list[StepOut]
    effects: list[EffectOut]


class RunQuery(PageQuery):
    """What to look for among the runs."""

    status: list[Run.Status] = Field(default_factory=list, description="may be given more than once")
    agent: Reference | None = None
    user_id: str | None = Field(None, max_length=200)
    session_id: str | None = Field(None, max_length=200)
    since: AwareDatetime | None = Field(None, description="created at or after")
    until: AwareDatetime | None = Field(None, description="created before")
    q: str | None = Field(None, max_length=200, description="words in the input or the output")

    def filters(self) -> dict[str, Any]:
        return self.dict(exclude={"limit", "cursor"}, exclude_defaults=True)


class EventOut(Schema):
    """One line of a run's journal."""

    seq: int
    kind: str
    at: datetime
    step_key: str
    data: dict[str, Any]


class EventList(Schema):
    items: list[EventOut]


class EventQuery(Schema):
    after: int = Field(0, ge=0, le=2**31 - 1, description="the `seq` of the last event you have")
    limit: int = Field(200, ge=1, le=1000)


class AgentIn(Body):
    slug: Slug
    name: Annotated[str, StringConstraints(max_length=200)] = ""
    description: Annotated[str, StringConstraints(max_length=10_000)] = ""
    spec: Annotated[dict[str, Any], _at_most(MAX_SPEC_BYTES)] = Field(description="what `Agent.from_dict` takes")


MaxRunning = Annotated[int, Field(ge=1, le=1_000_000)]
Days = Annotated[int, Field(ge=1, le=36_500)]


class AgentPatch(Body):
    name: Name | None = None
    description: Annotated[str, StringConstraints(max_length=10_000)] | None = None
    max_running: MaxRunning | None = Field(None, description="its runs under way at once; null: any number")
    retention_days: Days | None = Field(None, description="how long its runs are kept; null: as the tenant says")

    def changes(self) -> dict[str, Any]:
        """What was sent. A name and a description that are null say nothing; a limit that is null is none."""
        kept = {"name", "description"}
        return {k: v for k, v in self.dict(exclude_unset=True).items() if v is not None or k not in kept}


class AgentOut(Schema):
    slug: str
    name: str
    description: str
    max_running: int | None
    retention_days: int | None
    created_at: datetime
    labels: dict[str, int] = Field(description="label → number of the version it is on")

    @staticmethod
    def resolve_labels(agent: Agent) -> dict[str, int]:
        return {label.name: label.version.number for label in agent.labels.all()}


class VersionIn(Body):
    spec: Annotated[dict[str, Any], _at_most(MAX_SPEC_BYTES)] = Field(description="what `Agent.from_dict` takes")


class VersionOut(Schema):
    number: int
    hash: str
    spec: dict[str, Any]
    created_at: datetime
    created_by: str
    labels: list[str]

    @staticmethod
    def resolve_labels(version: AgentVersion) -> list[str]:
        return sorted(label.name for label in version.labels.all())


class PromoteIn(Body):
    version: int = Field(ge=1, le=2**31 - 1)
    label: Label = "production"
