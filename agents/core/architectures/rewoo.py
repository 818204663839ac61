"""ReWOO: plan all tool calls at once, run them without the model, then answer."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, RootModel, field_validator, model_validator
from pydantic_core import to_json

from agents.core import loop
from agents.core.architectures.asking import Backdrop, ask, assistant, backdrop_for, list_in, told, user
from agents.core.architectures.base import AgentSession, Dependencies
from agents.core.architectures.react import known
from agents.core.concurrency import together
from agents.core.context_policy import ContextPolicy, excerpt
from agents.core.output import output_for
from agents.core.runtime.written import written
from loom.errors import OutputValidationError
from loom.events import Event
from loom.messages import FROZEN, ToolCall, ToolDef

if TYPE_CHECKING:
    from agents.core.agent import Agent

PLANNER = (
    "You plan the tool calls that gather the evidence for a task. You will not see their results: where a call needs "
    "what an earlier one returned, put {{E1}}, {{E2}}, … in its place. Calls that do not need each other run at the "
    "same time. Plan no call that the task does not need, and use only the tools you are shown."
)
_PLAN_FORMAT = (
    "Answer with a JSON list of at most <max> calls and nothing else, or [] when no tool is needed, like this:\n"
    '[{"id": "E1", "tool": "search", "args": {"query": "…"}}, {"id": "E2", "tool": "read", "args": {"url": "{{E1}}"}}]'
)
SOLVER = (
    "Answer the task from the evidence that the tools gave. Evidence may be missing or wrong: say so where it matters, "
    "and do not make it up."
)
UNREADABLE = "There is no plan: what the planner wrote could not be read as a list of tool calls."

_PLACEHOLDER = re.compile(r"\{\{\s*#?(E\d{1,3})\s*\}\}|\{\s*#?(E\d{1,3})\s*\}|#(E\d{1,3})\b")
_ID = re.compile(r"[#{\s]*E?(\d{1,3})[}\s]*", re.IGNORECASE)


class ReWOOStep(BaseModel):
    """One planned tool call. Its arguments may contain `{{E1}}`, `{E1}` or `#E1` in place of what E1 returns."""

    model_config = FROZEN

    id: str
    tool: str
    args: dict[str, Any] = Field(default_factory=dict)

    @field_validator("id", mode="before")
    @classmethod
    def _numbered(cls, given: Any) -> str:
        if (match := _ID.fullmatch(str(given))) is None:
            raise ValueError(f"an id is E and a number, like E1, not {given!r}")
        return f"E{int(match[1])}"

    @property
    def depends_on(self) -> tuple[str, ...]:
        """The steps whose results it needs, each once."""
        return tuple(dict.fromkeys(_mentioned(self.args)))


class ReWOOPlan(BaseModel):
    model_config = FROZEN

    steps: list[ReWOOStep]

    def levels(self) -> list[list[ReWOOStep]]:
        """The steps in the order of their needs: each level needs only those before. Circles are left out."""
        waiting = {step.id: step for step in self.steps}
        levels: list[list[ReWOOStep]] = []
        while ready := [step for step in waiting.values() if not waiting.keys() & set(step.depends_on)]:
            levels.append(ready)
            for step in ready:
                del waiting[step.id]
        return levels

    def cycle(self) -> list[str]:
        """The ids of a circle of steps that wait for each other, beginning and ending with the same; else nothing."""
        done = {step.id for level in self.levels() for step in level}
        waiting = {step.id: step for step in self.steps if step.id not in done}
        way = list(waiting)[:1]
        while way:
            needed = next(each for each in waiting[way[-1]].depends_on if each in waiting)
            if needed in way:
                return [*way[way.index(needed) :], needed]
            way.append(needed)
        return way


class ReWOOStepResult(BaseModel):
    """What came of a step: the tool's output as a JSON value, or why there is none."""

    model_config = FROZEN

    step_id: str
    tool: str
    output: Any = None
    error: str | None = None


class ReWOO:
    """Two model calls and the tools between them: a planner writes all calls, they run, a solver answers.

    Source: Xu et al., "ReWOO: Decoupling Reasoning from Observations for Efficient Augmented Language Models", 2023
    (arXiv:2305.18323), with the plan as JSON and independent calls at the same time (`parallel_levels`). A step that
    needs one that failed or was refused does not run; the solver is told. A plan that cannot be read is asked for once
    more. Unlike ReAct it cannot react to what it finds: best where the calls are foreseeable.
    """

    name = "rewoo"

    def __init__(
        self,
        *,
        max_steps: int = 8,
        planner_prompt: str | None = None,
        solver_prompt: str | None = None,
        parallel_levels: bool = True,
    ) -> None:
        if max_steps < 1:
            raise ValueError(f"max_steps is at least 1, not {max_steps}")
        self.max_steps = max_steps
        self.parallel_levels = parallel_levels
        self._planner = f"{planner_prompt or PLANNER}\n{_PLAN_FORMAT.replace('<max>', str(max_steps))}"
        self._solver = solver_prompt or SOLVER

    def declared_workers(self) -> Mapping[str, Agent]:
        return {}

    async def run(self, session: AgentSession, deps: Dependencies, prompt: str) -> AsyncIterator[Event]:
        backdrop = await backdrop_for(session, deps, prompt)
        tools = await deps.tools.list_tools()
        yield told(session, deps, "rewoo.planner_started", tools=[tool.name for tool in tools])
        plan = await self._plan(session, deps, backdrop, tools, prompt)
        if session.interrupted:
            return
        if problem := _problem(plan):
            name, message = problem
            session.output = message
            session.messages = backdrop.conversation(prompt, message)
            yield told(session, deps, name, reason=message)
            return
        assert plan is not None
        results: dict[str, ReWOOStepResult] = {}
        session.metadata |= {"plan": plan.model_dump(), "step_results": []}
        if plan.steps:
            yield told(session, deps, "rewoo.plan_created", steps=[step.model_dump() for step in plan.steps])
        else:
            yield told(session, deps, "rewoo.empty_plan", reason="no tool is needed")
        async for event in self._gather(session, deps, tools, plan, results):
            yield event
        yield told(session, deps, "rewoo.solver_started", evidence=len(results))
        answer = await ask(
            session,
            deps,
            backdrop.answering(
                self._solver, user(f"Task:\n{prompt}\n\n{_evidence(plan, results, deps.context_policy)}")
            ),
            step="solve/model",
            output_schema=deps.output_schema,
        )
        if answer is None:
            return
        session.output = answer
        session.messages = backdrop.conversation(prompt, answer)
        yield told(session, deps, "rewoo.completed", steps=len(results))

    async def _plan(
        self, session: AgentSession, deps: Dependencies, backdrop: Backdrop, tools: Sequence[ToolDef], prompt: str
    ) -> ReWOOPlan | None:
        """The plan; None when two answers were no plan, or the session is interrupted."""
        again = "That is no plan I can read:\n{}\nAnswer again with the list alone."
        asked = backdrop.about(self._planner, user(f"Task:\n{prompt}\n\n{_offered(tools)}"))
        for step in ("plan/model", "plan/again/model"):
            said = await ask(session, deps, asked, step=step)
            if said is None:
                return None
            try:
                _, calls = _OUTPUT.read(said)
            except OutputValidationError as error:
                asked += [
                    assistant(said),
                    user(again.format(error)),
                ]
            else:
                return ReWOOPlan(steps=calls.root[: self.max_steps])
        return None

    async def _gather(
        self,
        session: AgentSession,
        deps: Dependencies,
        tools: Sequence[ToolDef],
        plan: ReWOOPlan,
        results: dict[str, ReWOOStepResult],
    ) -> AsyncIterator[Event]:
        """Run the plan level by level and fill in the results."""
        for number, level in enumerate(plan.levels(), start=1):
            yield told(session, deps, "rewoo.level_started", level=number, steps=[step.id for step in level])
            work = [partial(self._run_step, session, deps, tools, step, dict(results)) for step in level]
            for result in await together(work, limit=None if self.parallel_levels else 1):
                results[result.step_id] = result
                yield told(
                    session, deps, "rewoo.step_completed", step_id=result.step_id, tool=result.tool, error=result.error
                )
            session.metadata["step_results"] = [result.model_dump() for result in results.values()]

    async def _run_step(
        self,
        session: AgentSession,
        deps: Dependencies,
        tools: Sequence[ToolDef],
        step: ReWOOStep,
        results: Mapping[str, ReWOOStepResult],
    ) -> ReWOOStepResult:
        for needed in step.depends_on:
            if (before := results.get(needed)) is None or before.error is not None:
                why = f"not run: it needs {needed}, which {'is not in the plan' if before is None else 'failed'}"
                return ReWOOStepResult(step_id=step.id, tool=step.tool, error=why)
        args = _filled(step.args, {key: result.output for key, result in results.items()})
        # The id is the step's place: it must be the same when the run is replayed.
        call = ToolCall(id=f"{deps.path}{step.id}", tool=step.tool, args=args)
        [result] = await loop.call_tools(session, deps, known([call], tools), step=f"step:{step.id}")
        if not result.ok:
            return ReWOOStepResult(step_id=step.id, tool=step.tool, error=result.text())
        return ReWOOStepResult(step_id=step.id, tool=step.tool, output=written(result.output))


class _Calls(RootModel[list[ReWOOStep]]):
    """What a planner answers."""

    @model_validator(mode="before")
    @classmethod
    def _lenient(cls, given: Any) -> Any:
        """The list in an object around it, and ids by position where there are none."""
        given = list_in(given)
        if not isinstance(given, list):
            return given
        return [
            {"id": f"E{place}", **item} if isinstance(item, dict) else item for place, item in enumerate(given, start=1)
        ]

    @model_validator(mode="after")
    def _unique(self) -> _Calls:
        ids = [step.id for step in self.root]
        if twice := {each for each in ids if ids.count(each) > 1}:
            raise ValueError(f"two calls have the id {min(twice)}")
        return self


_OUTPUT = output_for(_Calls)


def _problem(plan: ReWOOPlan | None) -> tuple[str, str] | None:
    """Why a plan cannot be carried out: the event that tells it, and the sentence."""
    if plan is None:
        return "rewoo.empty_plan", UNREADABLE
    if cycle := plan.cycle():
        circle = " → ".join(cycle)
        return "rewoo.cyclic_plan", f"The plan cannot be carried out: its steps wait for each other ({circle})."
    return None


def _mentioned(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        for match in _PLACEHOLDER.finditer(value):
            yield match[match.lastindex or 0]
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _mentioned(item)


def _filled(value: Any, outputs: Mapping[str, Any]) -> Any:
    """Arguments with outputs in the place of placeholders: as they are where one stands alone, else as text."""
    if isinstance(value, dict):
        return {key: _filled(item, outputs) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, outputs) for item in value]
    if not isinstance(value, str):
        return value
    if alone := _PLACEHOLDER.fullmatch(value.strip()):
        return outputs[alone[alone.lastindex or 0]]
    return _PLACEHOLDER.sub(lambda match: _text(outputs[match[match.lastindex or 0]]), value)


def _offered(tools: Sequence[ToolDef]) -> str:
    if not tools:
        return "There are no tools."
    shown = (f"- {t.name}: {t.description}\n  arguments: {to_json(t.input_schema).decode()}" for t in tools)
    return "The tools:\n" + "\n".join(shown)


def _evidence(plan: ReWOOPlan, results: Mapping[str, ReWOOStepResult], policy: ContextPolicy) -> str:
    if not results:
        return "No evidence was gathered."
    lines = []
    for step in plan.steps:
        result = results[step.id]
        found = excerpt(result.error or _text(result.output), policy.max_result_chars, step.tool)
        lines.append(f"{step.id} = {step.tool}({_text(step.args)})\n{found}")
    return "Evidence:\n" + "\n\n".join(lines)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else to_json(value).decode()
