"""A plan that the agent keeps while it works: written whole, shown back on every change, checked before it stops.

Each run has its own. What was written lies in the conversation, so a run that resumes elsewhere has its plan again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

from agents.core.stop_hooks import StopHookResult
from loom.messages import Message

if TYPE_CHECKING:
    from agents.core.architectures.base import AgentSession, Dependencies

STATUSES = ("todo", "doing", "done", "blocked", "skipped")
WRITE = "plan_write"

_SYNONYMS = {
    "in_progress": "doing",
    "wip": "doing",
    "started": "doing",
    "running": "doing",
    "complete": "done",
    "completed": "done",
    "finished": "done",
    "ok": "done",
    "failed": "blocked",
    "error": "blocked",
    "stuck": "blocked",
    "skip": "skipped",
}
_LOUD = {"doing", "done", "blocked"}
_BULLET = re.compile(r"^\s*(?:\d+[.)]|[-*•])?\s*(?:\[(?P<mark>[ xX])\])?\s*(?P<text>.*?)\s*$")
_DESCRIPTIONS = ("description", "step", "title", "task", "content", "text", "name")
_FINDINGS = ("finding", "result", "note")


@dataclass(slots=True)
class LivingPlanStep:
    """One step; `finding` is what came of it."""

    description: str
    status: str = "todo"
    finding: str = ""


@dataclass(slots=True)
class LivingPlan:
    """A goal and the steps to it."""

    goal: str = ""
    steps: list[LivingPlanStep] = field(default_factory=list)

    def render(self) -> str:
        """The plan as Markdown, as the agent reads it."""
        statuses = [normal_status(step.status) for step in self.steps]
        rows = [
            f"| {number} | {status.upper() if status in _LOUD else status} "
            f"| {_cell(step.description)} | {_cell(step.finding)} |"
            for number, (step, status) in enumerate(zip(self.steps, statuses, strict=True), 1)
        ]
        blocked = statuses.count("blocked")
        progress = f"**Progress:** {statuses.count('done')}/{len(statuses)} done" + (
            f", {blocked} blocked" if blocked else ""
        )
        table = ["| # | Status | Description | Finding |", "|---|---|---|---|", *rows]
        return "\n".join([f"**GOAL:** {self.goal}", "", *table, "", progress])


def normal_status(status: Any) -> str:
    """One of STATUSES; what is not known is `todo`."""
    word = re.sub(r"[\s-]+", "_", str(status or "").strip().lower())
    word = _SYNONYMS.get(word, word)
    return word if word in STATUSES else "todo"


def plan_from(goal: Any, steps: Any) -> LivingPlan:
    """A plan from what a model sends: steps as objects, as text, as JSON in a string, or as numbered lines."""
    return LivingPlan(goal=str(goal or "").strip(), steps=_steps(steps))


def _steps(value: Any) -> list[LivingPlanStep]:
    if isinstance(value, str):
        parsed = _json(value)
        if parsed is not None:
            return _steps(parsed)
        return [step for line in value.splitlines() if (step := _line(line)) is not None]
    if isinstance(value, Mapping):
        return _steps(value["steps"]) if "steps" in value else _object(value)
    if isinstance(value, Sequence):
        return [step for item in value for step in _item(item)]
    return []


def _item(item: Any) -> list[LivingPlanStep]:
    if isinstance(item, LivingPlanStep):
        return [LivingPlanStep(item.description, normal_status(item.status), item.finding)]
    if isinstance(item, Mapping):
        return _object(item)
    parsed = _json(item) if isinstance(item, str) else None
    if isinstance(parsed, Mapping):
        return _object(parsed)
    step = _line(str(item))
    return [] if step is None else [step]


def _object(item: Mapping[str, Any]) -> list[LivingPlanStep]:
    description = _first(item, _DESCRIPTIONS)
    if not description:
        return []
    return [LivingPlanStep(description, normal_status(item.get("status")), _first(item, _FINDINGS))]


def _line(line: str) -> LivingPlanStep | None:
    match = _BULLET.match(line)
    if match is None or not match["text"]:
        return None
    return LivingPlanStep(match["text"], "done" if match["mark"] in ("x", "X") else "todo")


def _first(item: Mapping[str, Any], names: Sequence[str]) -> str:
    return next((str(item[name]).strip() for name in names if item.get(name)), "")


def _json(text: str) -> Any:
    """The list or object that the text is, or None."""
    if not text.lstrip().startswith(("[", "{")):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _cell(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text.strip()).replace("|", "\\|")


# --- the plan of the run in hand --------------------------------------------------------------------------------------


@dataclass(slots=True)
class ActivePlan:
    """The plan of one run: what it wrote last, else what its conversation says it wrote, else what it began with.

    `note_slug` is the note that mirrors it, once there is one; whoever writes that takes `turn`.
    """

    seed: LivingPlan | None = None
    messages: Callable[[], Sequence[Message]] = tuple
    written: LivingPlan | None = None
    note_slug: str | None = None
    turn: anyio.Lock = field(default_factory=anyio.Lock)

    @property
    def plan(self) -> LivingPlan | None:
        return self.written or plan_in(self.messages()) or self.seed


# Tools are made once for many runs; this tells them whose plan is meant. A variable and not a table by run id, so
# that a nested worker has its own plan and nothing is left behind by a run that fails.
_active: ContextVar[ActivePlan | None] = ContextVar("loom_active_plan", default=None)


@contextmanager
def plan_of_run(
    *, seed: LivingPlan | None = None, messages: Callable[[], Sequence[Message]] = tuple
) -> Iterator[ActivePlan]:
    """Give the run in this block a plan of its own. `messages` reads its conversation, to restore the plan from."""
    active = ActivePlan(seed=deepcopy(seed), messages=messages)
    token = _active.set(active)
    try:
        yield active
    finally:
        _active.reset(token)


def active_plan() -> ActivePlan:
    """The plan of the run in hand; outside of any run, one for the rest of this context."""
    active = _active.get()
    if active is None:
        active = ActivePlan()
        _active.set(active)
    return active


def get_active_plan() -> LivingPlan | None:
    """What the run in hand plans, or None when it has no plan."""
    active = _active.get()
    return None if active is None else active.plan


def plan_in(messages: Sequence[Message]) -> LivingPlan | None:
    """The plan that a conversation wrote last."""
    for message in reversed(messages):
        for call in reversed(message.tool_calls):
            if call.tool == WRITE:
                return plan_from(call.args.get("goal"), call.args.get("steps"))
    return None


class PlanStopHook:
    """Sends the agent back to work while a step of its plan is open.

    First to what it is doing, then to what is left.
    """

    name = "living_plan"

    async def __call__(self, session: AgentSession, deps: Dependencies, *, iteration: int) -> StopHookResult | None:
        plan = get_active_plan()
        for status in ("doing", "todo"):
            for number, step in enumerate(plan.steps if plan else (), 1):
                if normal_status(step.status) == status:
                    return StopHookResult(_reminder(number, step, status), reason=f"step {number} is {status}")
        return None


def _reminder(number: int, step: LivingPlanStep, status: str) -> str:
    return (
        f"Your plan is not finished: step {number} is still {status} ({_cell(step.description)}). "
        f"Go on with it, then call {WRITE} with the whole plan. "
        "If it cannot or need not be done, set it to blocked or skipped and say why in its finding."
    )
