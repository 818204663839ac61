"""Plan-and-Execute: plan once, carry out step after step, write the answer from what came out."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from agents.core.architectures.asking import Backdrop, ask, backdrop_for, below, list_in, told, user
from agents.core.architectures.base import AgentSession, Dependencies
from agents.core.architectures.react import ReAct
from agents.core.output import json_values
from loom.events import Event
from loom.messages import FROZEN, ToolDef

if TYPE_CHECKING:
    from agents.core.agent import Agent

PLANNER = (
    "You plan how an agent will carry out a task. Write the steps in the order in which they are to be done, each one "
    "short, concrete and possible with what the agent has; no step may depend on a later one. Do not carry them out."
)
_PLAN_FORMAT = 'Answer with a JSON list of at most {} strings and nothing else, like ["look up …", "compare …"].'
EXECUTOR = (
    "You carry out one step of a plan. Do what the step says, with your tools where they help, and answer with its "
    "result. Do not do other steps, and do not write the final answer."
)
SYNTHESIZER = "Write the final answer to the task from the results of the steps. Say what could not be found out."
EMPTY = "There is no plan: the planner named no step for this task."

_NUMBERED = re.compile(r"^\s*\d+[.):]\s+(.+?)\s*$", re.MULTILINE)
_BULLETED = re.compile(r"^\s*[-*+•]\s+(.+?)\s*$", re.MULTILINE)
_NAMES = ("description", "step", "name")


class PlanStep(BaseModel):
    model_config = FROZEN

    id: str
    description: str


class Plan(BaseModel):
    model_config = FROZEN

    steps: list[PlanStep]


class StepResult(BaseModel):
    model_config = FROZEN

    step_id: str
    description: str
    output: str


class PlanAndExecute:
    """Let the model write a plan of at most `max_steps`, do each step with the agent's tools, and write the answer.

    Source: Wang et al., "Plan-and-Solve Prompting", 2023 (arXiv:2305.04091), with each step carried out in a ReAct of
    its own that sees the task, the plan and the results so far. Costs two model calls and those of the steps, one for
    each that uses no tool. The plan is not changed on the way. A plan without steps ends the run with a message.
    """

    name = "plan-and-execute"

    def __init__(
        self,
        *,
        max_steps: int = 8,
        planner_prompt: str | None = None,
        executor_prompt: str | None = None,
        synthesizer_prompt: str | None = None,
    ) -> None:
        if max_steps < 1:
            raise ValueError(f"max_steps is at least 1, not {max_steps}")
        self.max_steps = max_steps
        self._planner = f"{planner_prompt or PLANNER}\n{_PLAN_FORMAT.format(max_steps)}"
        self._executor = executor_prompt or EXECUTOR
        self._synthesizer = synthesizer_prompt or SYNTHESIZER

    def declared_workers(self) -> Mapping[str, Agent]:
        return {}

    async def run(self, session: AgentSession, deps: Dependencies, prompt: str) -> AsyncIterator[Event]:
        backdrop = await backdrop_for(session, deps, prompt)
        yield told(session, deps, "plan.planner_started", max_steps=self.max_steps)
        plan = await self._plan(session, deps, backdrop, prompt)
        if plan is None:
            return
        results: list[StepResult] = []
        session.metadata |= {"plan": plan.model_dump(), "step_results": []}
        if not plan.steps:
            session.output = EMPTY
            session.messages = backdrop.conversation(prompt, EMPTY)
            yield told(session, deps, "plan.empty_plan")
            return
        yield told(session, deps, "plan.created", steps=[step.description for step in plan.steps])
        for step in plan.steps:
            yield told(session, deps, "plan.step_started", step_id=step.id, description=step.description)
            async for event in self._execute(session, deps, backdrop, _brief(prompt, plan, results, step), step):
                yield event
            if session.interrupted:
                return
            results.append(StepResult(step_id=step.id, description=step.description, output=session.output))
            session.metadata["step_results"] = [result.model_dump() for result in results]
            yield told(session, deps, "plan.step_completed", step_id=step.id, output=session.output)
        yield told(session, deps, "plan.synthesizer_started", steps=len(results))
        answer = await ask(
            session,
            deps,
            backdrop.answering(self._synthesizer, user(f"Task:\n{prompt}\n\n{_outcomes(results)}")),
            step="synthesize/model",
            output_schema=deps.output_schema,
        )
        if answer is None:
            return
        session.output = answer
        session.messages = backdrop.conversation(prompt, answer)
        yield told(session, deps, "plan.completed", steps=len(results))

    async def _plan(self, session: AgentSession, deps: Dependencies, backdrop: Backdrop, prompt: str) -> Plan | None:
        question = f"Task:\n{prompt}\n\n{_offered(await deps.tools.list_tools())}"
        said = await ask(session, deps, backdrop.about(self._planner, user(question)), step="plan/model")
        if said is None:
            return None
        steps = steps_of(said)[: self.max_steps]
        return Plan(steps=[PlanStep(id=str(n), description=text) for n, text in enumerate(steps, start=1)])

    def _execute(
        self, session: AgentSession, deps: Dependencies, backdrop: Backdrop, brief: str, step: PlanStep
    ) -> AsyncIterator[Event]:
        """A ReAct over the agent's tools, in a conversation of its own. The output schema is for the final answer."""
        session.messages = backdrop.about(self._executor)
        return ReAct().run(session, below(deps, f"step:{step.id}", output_schema=None), brief)


def steps_of(text: str) -> list[str]:
    """The steps in a planner's answer: a JSON list of strings or objects, else the numbered or bulleted lines."""
    for value in map(list_in, json_values(text)):
        if isinstance(value, list) and ((steps := [s for item in value if (s := _description(item))]) or not value):
            return steps
    return _NUMBERED.findall(text) or _BULLETED.findall(text)


def _description(item: Any) -> str:
    if isinstance(item, dict):
        item = next((item[name] for name in _NAMES if item.get(name)), "")
    return item.strip() if isinstance(item, str) else ""


def _offered(tools: Sequence[ToolDef]) -> str:
    if not tools:
        return "The agent has no tools."
    return "The agent's tools:\n" + "\n".join(f"- {tool.name}: {tool.description}" for tool in tools)


def _brief(prompt: str, plan: Plan, results: Sequence[StepResult], step: PlanStep) -> str:
    listed = "\n".join(f"{each.id}. {each.description}" for each in plan.steps)
    parts = [f"Task:\n{prompt}", f"Plan:\n{listed}"]
    if results:
        parts.append(_outcomes(results))
    return "\n\n".join([*parts, f"Carry out step {step.id}: {step.description}"])


def _outcomes(results: Sequence[StepResult]) -> str:
    return "Results so far:\n" + "\n".join(f"{r.step_id}. {r.description}\n{r.output}" for r in results)
