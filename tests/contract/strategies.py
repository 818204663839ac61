"""The twelve strategies, a model that plays along with any of them, and journals to run them over."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, repeat
from typing import Any

import anyio

from agents.core.agent import Agent
from agents.core.ambient import Ambient
from agents.core.architectures.actor_critic import ActorCritic
from agents.core.architectures.base import Architecture
from agents.core.architectures.blackboard import BlackboardArchitecture
from agents.core.architectures.debate import MultiAgentDebate
from agents.core.architectures.reflexion import Reflexion
from agents.core.architectures.resolver import BY_NAME, resolve_architecture
from agents.core.architectures.router import Router, RouterRoute
from agents.core.architectures.self_refine import SelfRefine
from agents.core.architectures.supervisor import Supervisor
from agents.core.architectures.swarm import Swarm
from agents.core.llm.base import Completion
from agents.core.runtime.journal import JournalSession
from agents.core.tools.tool import Tool, tool
from agents.core.workflow import Workflow
from loom.context import RunContext, get_run_context
from loom.errors import TransientModelError
from loom.events import Event, Record
from loom.messages import Message, ModelChunk, Role, ToolCall, ToolDef, Usage

INSTRUCTIONS = "Rule 7 applies."
INNER = "inner"  # the tool behind which a strategy that has no workers finds the next one


@tool
async def stamp(text: str) -> str:
    """Stamp a text."""
    return f"stamped {text}"


# --- the model --------------------------------------------------------------------------------------------------------


@dataclass
class Oracle:
    """A model that gives every strategy what it asks for, so that each comes to its end by its usual way."""

    name: str = "oracle"
    failing: bool = False
    pause: Callable[[], int] = lambda: 0
    bottom: Oracle | None = None  # the model of the workers of the innermost, where it is another
    tool: Tool = field(default_factory=lambda: stamp)  # what the innermost of several nested strategies is given
    asked: list[tuple[str | None, str]] = field(default_factory=list)

    async def stream(self, messages: list[Message], **options: Any) -> Any:
        text, calls, usage, reason = await self.complete(messages, **options)
        if text:
            yield ModelChunk(kind="text", text=text)
        for call in calls:
            yield ModelChunk(kind="tool_call", tool_call=call)
        yield ModelChunk(kind="finish", finish_reason=reason, usage=usage)

    async def complete(
        self, messages: Sequence[Message], *, tools: list[ToolDef] | None = None, **options: Any
    ) -> Completion:
        text = "\n".join(m.content for m in messages)
        user_id = get_run_context().user_id
        self.asked.append((user_id, text))
        for _ in range(self.pause()):
            await anyio.sleep(0)
        if self.failing:
            raise TransientModelError("the oracle is silent")
        if calls := _wanted(messages, [tool.name for tool in tools or []]):
            return "", calls, Usage(input_tokens=1, output_tokens=1), "tool_use"
        return _say(messages, user_id), [], Usage(input_tokens=1, output_tokens=1), "stop"


def _wanted(messages: Sequence[Message], offered: Sequence[str]) -> list[ToolCall]:
    """Each tool that it knows, once."""
    if any(m.role is Role.TOOL for m in messages):
        return []
    wanted = _calls(messages[-1].content)
    return [ToolCall(id=f"call_{name}", tool=name, args=wanted[name]) for name in offered if name in wanted]


def _calls(request: str) -> dict[str, dict[str, Any]]:
    """The calls that it makes, with everything about the request in them. Nothing is handed over twice."""
    known: dict[str, dict[str, Any]] = {
        "stamp": {"text": "x"},
        "delegate": {"worker": "w", "instructions": request},
        INNER: {"input": request},
        "handoff": {"target": "v", "message": request},
    }
    if "hands over to you" in request:
        del known["handoff"]
    return known


def _say(messages: Sequence[Message], user_id: str | None) -> str:
    directive, question = "\n".join(m.content for m in messages if m.role is Role.SYSTEM), messages[-1].content
    if "route: <name" in directive:
        return "route: w\nconfidence: 1"
    if '"id": "E1"' in directive:
        return json.dumps(_plan(question))
    if "Answer with a JSON list" in directive:
        return '["look it up"]'
    if "score: 0.7" in directive:
        return "score: 1.0"
    if 'answer with exactly "no issues"' in directive:
        return "no issues"
    if '"next_agent"' in question:
        board = "(contribution)" in question
        return json.dumps({"terminate": board, "next_agent": "w", "instruction": "help"})
    if '"issues"' in question:
        return json.dumps({"issues": [], "score": 1.0, "summary": "fine"})
    return f"answer for {user_id}"


def _plan(question: str) -> list[dict[str, Any]]:
    """A call of every tool that the question lists and the oracle knows."""
    listed = {name: args for name, args in _calls(question).items() if f"\n- {name}: " in question}
    return [{"id": f"E{place}", "tool": name, "args": args} for place, (name, args) in enumerate(listed.items(), 1)]


# --- the strategies ---------------------------------------------------------------------------------------------------


Make = Callable[[Callable[[], Agent]], Architecture]

# Those of one agent get nothing; those of several get as many workers as they need, made one by one.
ALONE: dict[str, Make] = {name: partial(lambda name, worker: resolve_architecture(name), name) for name in BY_NAME}
TEAMS: dict[str, Make] = {
    "router": lambda worker: Router(routes=[RouterRoute("w", worker())]),
    "supervisor": lambda worker: Supervisor(workers={"w": worker()}),
    "actor-critic": lambda worker: ActorCritic(actor=worker(), critic=worker()),
    "debate": lambda worker: MultiAgentDebate(debaters=[worker(), worker()], judge=worker(), rounds=1),
    "swarm": lambda worker: Swarm(agents={"w": worker(), "v": worker()}, entry_agent="w"),
    "blackboard": lambda worker: BlackboardArchitecture(agents={"w": worker()}, coordinator=worker(), decider=worker()),
}
ALL = {**ALONE, **TEAMS}
WRAPPING: dict[str, Callable[[Architecture], Architecture]] = {
    "self-refine": lambda base: SelfRefine(base=base),
    "reflexion": lambda base: Reflexion(base=base),
}
# It only thinks.
TOOLLESS = {"tree-of-thoughts"}


def build(name: str, oracle: Oracle, *, worker: Callable[[], Agent] | None = None, **options: Any) -> Agent:
    make_worker = worker or (lambda: Agent("You work.", model=oracle))
    return Agent(INSTRUCTIONS, name="team", model=oracle, architecture=ALL[name](make_worker), **options)


def nested(oracle: Oracle, *names: str, **options: Any) -> Agent:
    """An agent of the first strategy with one of the second inside, and so on.

    A team has the next one for its first worker, a wrapper for its base, any other behind a workflow that is its tool.
    """
    architecture, tools = _strategy(oracle, *names)
    return Agent(INSTRUCTIONS, name=names[0], model=oracle, architecture=architecture, tools=tools, **options)


def _strategy(oracle: Oracle, first: str, *rest: str) -> tuple[Architecture, list[Any]]:
    if not rest:
        return ALL[first](partial(Agent, "You work.", model=oracle.bottom or oracle)), [oracle.tool]
    plain = partial(Agent, "You work.", model=oracle)
    if first in TEAMS:
        workers = chain([partial(nested, oracle, *rest)], repeat(plain))
        return TEAMS[first](lambda: next(workers)()), []
    if first in WRAPPING:
        base, tools = _strategy(oracle, *rest)
        return WRAPPING[first](base), tools
    return ALONE[first](plain), [Workflow.chain([nested(oracle, *rest)], name=INNER).as_tool()]


# --- running over a journal -------------------------------------------------------------------------------------------


@dataclass
class Tape:
    records: list[Record] = field(default_factory=list)

    def post(self, record: Record) -> None:
        self.records.append(record)

    async def flush(self) -> None:
        return None


async def over(tape: Tape, team: Agent) -> str:
    session = JournalSession("sess_1", tape, list(tape.records))
    context = RunContext(user_id="ann", session_id="sess_1", run_id="run_1")

    async def note(event: Event) -> None:
        session.note(event)

    return (await team.answer("Go.", Ambient(context, runtime=session, emit=note))).output
