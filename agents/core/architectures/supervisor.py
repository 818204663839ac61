"""Supervisor: a manager that gives work to others and answers with what they bring."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from agents.core.architectures.asking import assistant
from agents.core.architectures.base import AgentSession, Architecture, Dependencies
from agents.core.architectures.react import ReAct
from agents.core.architectures.team_tools import TeamTool, TeamTools, number_of, order_of, team_tool, turn_of
from agents.core.architectures.workers import Crew, about, enlist, fill
from agents.core.result import RunResult
from loom.events import Event

if TYPE_CHECKING:
    from agents.core.agent import Agent

TEMPLATE = (
    "You manage these workers:\n{workers}\n\nGive them work with `{delegate}`: they know nothing but what you write, "
    "so write what they need. Work that does not depend on other work is given in one turn and done at the same time. "
    "When a worker's answer should be the final answer word for word, call `{forward}` and end."
)
SEND_MESSAGE = "send_message"
_FORWARD = "Make a worker's last answer the final answer, word for word."
_SEND = "Say something to a worker in the conversation you have with it, and get its reply."


class Supervisor:
    """Let a base strategy, by default ReAct, delegate to workers by tool calls; those of one turn run at the same time.

    A worker that is interrupted leaves what it has said to the manager, which goes on; the run says in the end that it
    was cut short. A worker that fails, fails the run, which a durable runtime takes up at the step that failed. Workers
    in `role_to_worker_id` keep a conversation for each user and session, and can be sent messages.
    """

    name = "supervisor"

    def __init__(
        self,
        *,
        workers: dict[str, Agent],
        base: Architecture | None = None,
        instructions_template: str | None = None,
        delegate_tool_name: str = "delegate",
        forward_tool_name: str = "forward_message",
        worker_registry: dict[str, Any] | None = None,
        role_to_worker_id: dict[str, str] | None = None,
    ) -> None:
        if not workers:
            raise ValueError("a supervisor needs at least one worker")
        if delegate_tool_name == forward_tool_name:
            raise ValueError(f"delegate_tool_name and forward_tool_name are both {delegate_tool_name!r}")
        self.base = base or ReAct()
        self._workers = dict(workers)
        self._template = instructions_template or TEMPLATE
        self._delegate, self._forward = delegate_tool_name, forward_tool_name
        self._persistent = role_to_worker_id is not None
        self._registry = worker_registry
        self._ids = dict(enlist(workers, worker_registry, role_to_worker_id))

    def declared_workers(self) -> Mapping[str, Agent]:
        return {**self.base.declared_workers(), **self._workers}

    def add_worker(self, name: str, agent: Agent) -> None:
        """Add a worker, from the next run on. Raises ValueError for a name that is taken or no identifier."""
        if not name.isidentifier():
            raise ValueError(f"a worker's name is an identifier like 'fact_checker', not {name!r}")
        if name in self._workers:
            raise ValueError(f"there is a worker {name!r} already")
        self._workers[name] = agent
        if self._persistent:
            self._ids |= enlist(self._workers, self._registry, {name: f"worker_{name}"})

    def remove_worker(self, name: str) -> Agent | None:
        """Take a worker away, from the next run on."""
        worker_id = self._ids.pop(name, None)
        if self._registry is not None and worker_id is not None:
            self._registry.pop(worker_id, None)
        return self._workers.pop(name, None)

    async def run(self, session: AgentSession, deps: Dependencies, prompt: str) -> AsyncIterator[Event]:
        workers = dict(self._workers)
        crew = Crew(session, deps, None, dict(self._ids), tuple(workers))
        desk = _Desk(crew, workers)
        yield crew.told("supervisor.workers_ready", workers=list(workers))
        own = session.instructions
        session.instructions = f"{own}\n\n{self._section(workers)}".strip()
        try:
            inner = replace(deps, tools=TeamTools(self._tools(desk), deps.tools))
            async for event in self.base.run(session, inner, prompt):
                yield event
        finally:
            session.instructions = own
        if desk.forwarded:
            forwarded = max(desk.forwarded, key=lambda answer: order_of(answer.key))
            session.output = forwarded.result.output
            session.messages.append(assistant(session.output))
            yield crew.told("supervisor.forwarded", worker=forwarded.worker)
        if session.interrupted:
            return
        for answer in sorted(desk.answers, key=lambda answer: order_of(answer.key)):
            if crew.stopped(answer.result, f"worker:{answer.worker}"):
                return
        yield crew.told("supervisor.completed", delegations=len(desk.answers))

    def _section(self, workers: Mapping[str, Agent]) -> str:
        listed = "\n".join(f"- {name}: {about(agent)}" for name, agent in workers.items())
        text = fill(self._template, workers=listed, delegate=self._delegate, forward=self._forward)
        return text if "{workers}" in self._template else f"{text}\n\nWorkers:\n{listed}"

    def _tools(self, desk: _Desk) -> list[TeamTool]:
        give = f"Give work to one of {', '.join(desk.workers)} and get the result."
        tools = [
            team_tool(self._delegate, give, ("worker", "instructions"), desk.delegate),
            team_tool(self._forward, _FORWARD, ("worker",), desk.forward),
        ]
        if self._persistent:
            tools.append(team_tool(SEND_MESSAGE, _SEND, ("to", "content"), desk.send_message))
        return tools


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a worker said to a tool call."""

    key: str
    worker: str
    result: RunResult


@dataclass(slots=True)
class _Desk:
    """What a manager does in one run."""

    crew: Crew
    workers: Mapping[str, Agent]
    answers: list[_Answer] = field(default_factory=list)
    forwarded: list[_Answer] = field(default_factory=list)

    async def delegate(self, args: Mapping[str, Any], key: str) -> str:
        return await self._ask(args["worker"], args["instructions"], key)

    async def send_message(self, args: Mapping[str, Any], key: str) -> str:
        crew, to = self.crew, args["to"]
        role = next((role for role, worker_id in crew.ids.items() if worker_id == to), to)
        if role in self.workers and crew.deps.emit is not None:
            await crew.deps.emit(crew.told(SEND_MESSAGE, to=role, content=args["content"]))
        return await self._ask(role, args["content"], key)

    async def forward(self, args: Mapping[str, Any], key: str) -> str:
        """Answers of this very turn do not count: which of them are there by now is chance."""
        name = args["worker"]
        if name not in self.workers:
            return self._unknown(name)
        earlier = [a for a in self.answers if a.worker == name and turn_of(a.key) != turn_of(key)]
        if not earlier:
            return f"Error: {name} has not answered yet; give it work first and forward in a later turn"
        last = max(earlier, key=lambda answer: order_of(answer.key))
        self.forwarded.append(replace(last, key=key))
        return f"The answer of {name} is the final answer. End now."

    async def _ask(self, name: str, prompt: str, key: str) -> str:
        if name not in self.workers:
            return self._unknown(name)
        number = number_of(key, self.crew.deps.path)
        result = await self.crew.run(name, self.workers[name], prompt, number=number, answers=False)
        self.answers.append(_Answer(key, name, result))
        cut = f"\n[{name} was stopped: {result.interruption_reason}]" if result.interrupted else ""
        return f"{result.output}{cut}"

    def _unknown(self, name: str) -> str:
        return f"Error: unknown worker {name!r}; there are {', '.join(self.workers) or 'none'}"
