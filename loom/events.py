"""What happens in a run.

Two vocabularies, and the one place that relates them. `Event` is what the SDK yields; its kinds are fixed by the
public contract. A journal `Record` is what is written down; its kinds are the ones that REST, SSE and webhooks show.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import to_jsonable_python

from loom.messages import FROZEN, ModelChunk, ToolCall, ToolResult, utcnow


class EventKind(StrEnum):
    STARTED = "started"
    MODEL_CHUNK = "model_chunk"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    MEMORY_RECALL = "memory_recall"
    MEMORY_WRITE = "memory_write"
    BUDGET_WARNING = "budget_warning"
    BUDGET_EXCEEDED = "budget_exceeded"
    PERMISSION_ASK = "permission_ask"
    PERMISSION_DECISION = "permission_decision"
    ERROR = "error"
    COMPLETED = "completed"
    ARCHITECTURE_EVENT = "architecture_event"
    WORKFLOW_STARTED = "workflow_started"
    WORKFLOW_STEP_STARTED = "workflow_step_started"
    WORKFLOW_STEP_COMPLETED = "workflow_step_completed"
    WORKFLOW_STEP_FAILED = "workflow_step_failed"
    WORKFLOW_COMPLETED = "workflow_completed"


class Event(BaseModel):
    """One thing that happened, as the SDK's callers see it. `worker` is the path of the nested agent it happened in."""

    kind: EventKind
    session_id: str
    at: datetime = Field(default_factory=utcnow)
    payload: dict[str, Any] = Field(default_factory=dict)
    worker: str = ""

    @classmethod
    def started(cls, session_id: str, prompt: str) -> Event:
        return cls(kind=EventKind.STARTED, session_id=session_id, payload={"prompt": prompt})

    @classmethod
    def model_chunk(cls, session_id: str, chunk: ModelChunk) -> Event:
        return cls(kind=EventKind.MODEL_CHUNK, session_id=session_id, payload={"chunk": chunk})

    @classmethod
    def tool_call(cls, session_id: str, call: ToolCall) -> Event:
        return cls(kind=EventKind.TOOL_CALL, session_id=session_id, payload={"call": call})

    @classmethod
    def tool_result(cls, session_id: str, result: ToolResult) -> Event:
        return cls(kind=EventKind.TOOL_RESULT, session_id=session_id, payload={"result": result})

    @classmethod
    def budget_warning(cls, session_id: str, status: Any) -> Event:
        return cls(kind=EventKind.BUDGET_WARNING, session_id=session_id, payload={"status": status})

    @classmethod
    def budget_exceeded(cls, session_id: str, status: Any) -> Event:
        return cls(kind=EventKind.BUDGET_EXCEEDED, session_id=session_id, payload={"status": status})

    @classmethod
    def error(cls, session_id: str, exc: BaseException) -> Event:
        return cls(
            kind=EventKind.ERROR, session_id=session_id, payload={"type": type(exc).__name__, "message": str(exc)}
        )

    @classmethod
    def completed(cls, session_id: str, result: Any) -> Event:
        value = result.model_dump(mode="json") if isinstance(result, BaseModel) else result
        return cls(kind=EventKind.COMPLETED, session_id=session_id, payload={"result": value})

    @classmethod
    def architecture_event(cls, session_id: str, name: str, **data: Any) -> Event:
        return cls(kind=EventKind.ARCHITECTURE_EVENT, session_id=session_id, payload={"name": name, **data})


class Record(BaseModel):
    """One row of a run's journal. `step_key` is the structural path of the step it belongs to, or empty."""

    model_config = FROZEN

    kind: str
    step_key: str = ""
    data: dict[str, Any] = Field(default_factory=dict)


class Kind:
    """The kinds of journal records, as clients see them. `architecture.*` and `model.delta` are the open ends."""

    RUN_STARTED = "run.started"
    RUN_RESUMED = "run.resumed"
    RUN_WAITING = "run.waiting"
    RUN_CANCELLING = "run.cancelling"
    RUN_SUCCEEDED = "run.succeeded"
    RUN_FAILED = "run.failed"
    RUN_CANCELLED = "run.cancelled"
    MODEL_STARTED = "model.started"
    MODEL_DELTA = "model.delta"  # live only
    MODEL_COMPLETED = "model.completed"
    TOOL_STARTED = "tool.started"
    TOOL_COMPLETED = "tool.completed"
    APPROVAL_REQUESTED = "approval.requested"
    APPROVAL_DECIDED = "approval.decided"
    MEMORY_RECALLED = "memory.recalled"
    MEMORY_STORED = "memory.stored"
    HANDOFF = "handoff"
    BUDGET_WARNING = "budget.warning"

    TERMINAL = frozenset({RUN_SUCCEEDED, RUN_FAILED, RUN_CANCELLED})


# Model and tool events of the SDK are journaled by the steps themselves; what is left has one record each.
_RECORDED = {
    EventKind.MEMORY_RECALL: Kind.MEMORY_RECALLED,
    EventKind.MEMORY_WRITE: Kind.MEMORY_STORED,
    EventKind.BUDGET_WARNING: Kind.BUDGET_WARNING,
    EventKind.BUDGET_EXCEEDED: Kind.BUDGET_WARNING,
    EventKind.WORKFLOW_STEP_STARTED: "architecture.workflow.step_started",
    EventKind.WORKFLOW_STEP_COMPLETED: "architecture.workflow.step_completed",
    EventKind.WORKFLOW_STEP_FAILED: "architecture.workflow.step_failed",
}


_KIND_LENGTH = 100  # an architecture of somebody's own may name its events as it likes


def record_of(event: Event) -> Record | None:
    """The journal record that an SDK event is kept as, or None when a step keeps it or nobody does."""
    kind = _RECORDED.get(event.kind)
    if event.kind is EventKind.ARCHITECTURE_EVENT:
        name = str(event.payload.get("name", ""))
        kind = Kind.HANDOFF if name.endswith("handoff") else f"architecture.{name}"[:_KIND_LENGTH]
    if kind is None:
        return None
    told = {name: value for name, value in event.payload.items() if name != "output"}  # its step has recorded that
    data = to_jsonable_python(told, fallback=str, bytes_mode="base64")
    return Record(kind=kind, step_key=event.worker, data=data)
