"""How the page of a run tells its journal: event by event, and step by step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agents.models import RunEvent
from loom.events import Kind

LINE = 100
_ABOUT_STEPS = ("architecture.workflow.", "architecture.step.")


@dataclass
class Step:
    """What the journal says of one step, or of one thing that happened to the run between steps.

    `state` is running, waiting, done, failed or denied; for what is no step it is empty.
    """

    key: str
    family: str
    title: str
    seq: int
    began_at: datetime
    state: str = ""
    ended_at: datetime | None = None
    last_seq: int = 0
    seconds: float | None = None
    text: str = ""
    args: str = ""
    result: str = ""
    calls: list[dict[str, str]] = field(default_factory=list)
    usage: dict[str, Any] | None = None
    approval_id: str = ""
    decision: str = ""

    @property
    def within(self) -> list[str]:
        """The places in the run that lead to this step."""
        return [part.removeprefix("step:").removesuffix("#1") for part in self.key.split("/")[:-1]]

    @property
    def milliseconds(self) -> int:
        return round((self.seconds or 0) * 1000)

    @property
    def is_step(self) -> bool:
        return bool(self.state)


def steps_of(events: Sequence[RunEvent], *, is_over: bool) -> list[Step]:
    """The steps in the order in which they began, with attempts, waits and ends between them.

    What began and has not ended is cut off when the run is over.
    """
    steps: dict[str, Step] = {}
    lines: list[Step] = []
    for event in events:
        if not event.step_key or event.kind.startswith("architecture.workflow."):
            if (mark := _mark(event)) is not None:
                lines.append(mark)
            continue
        step = steps.get(event.step_key)
        if step is None:
            step = steps[event.step_key] = _step(event)
            lines.append(step)
        step.last_seq = event.seq
        _tell(step, event)
    for step in steps.values():
        if is_over and step.state in ("running", "waiting"):
            step.state = "cut off"
    return lines


def _step(event: RunEvent) -> Step:
    name = event.step_key.rsplit("/", 1)[-1]
    family = name.split(":", 1)[0]
    title = name.split(":", 1)[1] if family == "step" else name
    return Step(event.step_key, family, title.removesuffix("#1"), event.seq, event.at, "running")


def _tell(step: Step, event: RunEvent) -> None:
    data, value = event.data, event.data.get("value")
    match event.kind:
        case Kind.MODEL_STARTED:
            step.title = f"model {data.get('model', '')}"
        case Kind.TOOL_STARTED:
            step.title, step.args = data.get("tool", step.title), readable(data.get("edited_args") or data.get("args"))
            step.state = "running"
        case Kind.APPROVAL_REQUESTED:
            step.title, step.args = data["tool"], readable(data["args"])
            step.approval_id, step.state = data["approval_id"], "waiting"
        case Kind.APPROVAL_DECIDED:
            step.decision, step.state = f"{_SAID.get(data['decision'], data['decision'])} by {data['by']}", "done"
        case _ if value is not None or event.kind.endswith(".completed"):
            _end(step, event, value)


_SAID = {"approve": "approved", "edit": "edited", "reject": "rejected", "respond": "answered", "expire": "expired"}


def _end(step: Step, event: RunEvent, value: Any) -> None:
    step.state, step.ended_at = "done", event.at
    step.seconds = max(0.0, (event.at - step.began_at).total_seconds())
    if event.kind == Kind.MODEL_COMPLETED:
        step.text, step.usage = value["text"], value["usage"]
        step.calls = [{"tool": call["tool"], "args": readable(call["args"])} for call in value["tool_calls"]]
    elif event.kind == Kind.TOOL_COMPLETED:
        step.result = readable(value["output"] if value["ok"] else value.get("reason") or value.get("error"))
        step.state = "done" if value["ok"] else "denied" if value.get("denied") else "failed"
        if value.get("duration_ms") is not None and not step.approval_id:
            step.seconds = value["duration_ms"] / 1000
    else:
        step.result = readable(value)


def _mark(event: RunEvent) -> Step | None:
    """A line for what happens to the run itself, None for what its steps tell already."""
    family = event.kind.partition(".")[0]
    if event.kind.startswith(_ABOUT_STEPS) and not event.kind.endswith("_failed"):
        return None
    told = describe(event)
    title = (
        f"Attempt {event.data['attempt']}" if event.kind == Kind.RUN_RESUMED else _TITLES.get(event.kind, event.kind)
    )
    mark = Step(event.step_key, family, title, event.seq, event.at, text=told.get("text") or "")
    if event.kind == Kind.RUN_CANCELLED and event.data.get("by"):
        mark.text = " ".join(filter(None, [f"by {event.data['by']}", event.data.get("reason", "")]))
    if event.kind.endswith("_failed"):
        mark.family, mark.title, mark.text = (
            "run failed",
            f"{event.data.get('node')} failed",
            event.data.get("error", ""),
        )
    return mark


_TITLES = {
    Kind.RUN_STARTED: "Started",
    Kind.RUN_WAITING: "Waits, and holds nothing meanwhile",
    Kind.RUN_CANCELLING: "Asked to end",
    Kind.RUN_SUCCEEDED: "Succeeded",
    Kind.RUN_FAILED: "Failed",
    Kind.RUN_CANCELLED: "Cancelled",
}


def describe(event: RunEvent) -> dict[str, Any]:
    """An event as the page tells it: what is for reading, and the rest as JSON."""
    data, value = event.data, event.data.get("value")
    family, _, _ = event.kind.partition(".")
    shown: dict[str, Any] = {"event": event, "family": family, "detail": json.dumps(data, indent=2, ensure_ascii=False)}
    if event.kind == "run.started":
        said = data["input"]
        shown["text"] = said if isinstance(said, str) else said.get("mail") or json.dumps(said, ensure_ascii=False)
    elif event.kind == "model.completed":
        calls = [{"tool": call["tool"], "args": readable(call["args"])} for call in value["tool_calls"]]
        shown |= {"text": value["text"], "calls": calls, "usage": value["usage"]}
    elif event.kind == "tool.started":
        shown |= {"title": data.get("tool"), "code": readable(data.get("args"))}
    elif event.kind == "tool.completed":
        failed = not value["ok"]
        shown |= {
            "text": readable(value.get("reason") or value.get("error") if failed else value["output"]),
            "failed": failed,
        }
    elif event.kind == "run.succeeded":
        shown["text"] = data["output"]
    elif event.kind == "run.failed":
        shown |= {"text": data["error"]["message"], "failed": True, "title": data["error"]["type"]}
    elif event.kind == "architecture.step.completed":
        shown["code"] = readable(value)
    elif event.kind.startswith("architecture.workflow"):
        shown["title"] = data.get("node")
    return shown


def readable(value: Any) -> str:
    """A text as it is, and JSON on one line where that is not too long."""
    if isinstance(value, str):
        return value
    line = json.dumps(value, ensure_ascii=False)
    return line if len(line) <= LINE else json.dumps(value, indent=2, ensure_ascii=False)
