"""Blackboard: agents that work on one thing by writing on a board that all of them read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from agents.core.architectures.asking import backdrop_for
from agents.core.architectures.base import AgentSession, Dependencies
from agents.core.architectures.workers import Crew, about, enlist
from agents.core.output import json_values
from agents.core.result import RunResult
from loom.events import Event
from loom.messages import utcnow

if TYPE_CHECKING:
    from agents.core.agent import Agent

COORDINATOR = (
    "You coordinate agents that work on a task by writing on a shared board. Say who writes next and what, or end the "
    "work when the board has what the answer needs."
)
_CHOICE = (
    'Answer with one JSON object and nothing else: {"terminate": false, "next_agent": "name", "instruction": "what to '
    'contribute"}'
)
DECIDER = "Agents have worked on this task on a shared board. Write the final answer from what the board says."
_CONTRIBUTE = (
    "You are {name}. Add to the board what brings the task forward, and nothing that is there already. When the board "
    'has all it takes and you can answer the task, begin with "ANSWER:".'
)
_ANSWER = "ANSWER:"


@dataclass
class BlackboardEntry:
    """One thing that was written on the board."""

    timestamp: datetime
    author: str
    content: str
    kind: str = "contribution"


@dataclass
class Blackboard:
    """What all see, and what only one sees."""

    public: list[BlackboardEntry] = field(default_factory=list)
    private: dict[str, list[BlackboardEntry]] = field(default_factory=dict)

    def post(
        self, author: str, content: str, *, kind: str = "contribution", private_to: str | None = None
    ) -> BlackboardEntry:
        entry = BlackboardEntry(utcnow(), author, content, kind)
        (self.public if private_to is None else self.private.setdefault(private_to, [])).append(entry)
        return entry

    def render_for(self, agent_name: str) -> str:
        """The board as one agent sees it. Times are left out: a replay must read the same."""
        shared, own = _listed(self.public), _listed(self.private.get(agent_name, []))
        return "\n\n".join(filter(None, (shared, own and f"For you alone:\n{own}")))

    def conclusion(self) -> str:
        """The last answer on the board, or else the last contribution."""
        answers = [entry for entry in self.public if entry.kind == "answer"]
        return (answers or self.public)[-1].content if self.public else ""


class BlackboardArchitecture:
    """In each round a coordinator names the agent that writes next, until it ends the work; a decider then answers.

    Without a coordinator the agents take turns, until one posts an answer. A coordinator that names nobody there is
    leaves it to the next in turn. Without a decider the last answer on the board, or the last contribution, is the
    answer. At most `max_rounds` contributions. The board is in the session's metadata.
    """

    name = "blackboard"

    def __init__(
        self,
        *,
        agents: dict[str, Agent],
        coordinator: Agent | None = None,
        decider: Agent | None = None,
        max_rounds: int = 10,
        coordinator_instructions: str | None = None,
        decider_instructions: str | None = None,
        worker_registry: dict[str, Any] | None = None,
        role_to_worker_id: dict[str, str] | None = None,
    ) -> None:
        if not agents:
            raise ValueError("a blackboard needs at least one agent")
        if max_rounds < 1:
            raise ValueError(f"max_rounds is at least 1, not {max_rounds}")
        if taken := {"coordinator", "decider"} & set(agents):
            raise ValueError(f"an agent cannot be named {taken.pop()!r}: that is another's place")
        self.agents = dict(agents)
        self.coordinator, self.decider = coordinator, decider
        self.max_rounds = max_rounds
        self._coordinate = coordinator_instructions or COORDINATOR
        self._decide = decider_instructions or DECIDER
        self._ids = enlist(self.declared_workers(), worker_registry, role_to_worker_id)

    def declared_workers(self) -> Mapping[str, Agent]:
        others = {"coordinator": self.coordinator, "decider": self.decider}
        return {**self.agents, **{name: agent for name, agent in others.items() if agent is not None}}

    async def run(self, session: AgentSession, deps: Dependencies, prompt: str) -> AsyncIterator[Event]:
        crew = Crew(session, deps, await backdrop_for(session, deps, prompt), self._ids, tuple(self.agents))
        board = session.metadata["blackboard"] = Blackboard()
        async for event in self._rounds(crew, board, prompt):
            yield event
        crew.answer(prompt, board.conclusion())
        if session.interrupted:
            return
        if self.decider is not None:
            decided = await crew.turn(
                "decider", self.decider, f"{self._decide}\n\n{_situation(board, 'decider', prompt)}"
            )
            crew.answer(prompt, decided.output)
            if crew.stopped(decided, "worker:decider"):
                return
            yield crew.told("blackboard.decided")
        yield crew.told("blackboard.completed", entries=len(board.public))

    async def _rounds(self, crew: Crew, board: Blackboard, prompt: str) -> AsyncIterator[Event]:
        names = list(self.agents)
        for number in range(1, self.max_rounds + 1):
            choice = _Choice(names[(number - 1) % len(names)])
            if self.coordinator is not None:
                said = await self._ask_coordinator(crew, self.coordinator, board, prompt)
                if crew.stopped(said, "worker:coordinator"):
                    return
                choice = _read_choice(said.output, names, choice.agent)
                yield crew.told("blackboard.coordinated", round=number, agent=choice.agent, terminate=choice.ends)
            if choice.ends:
                yield crew.told("blackboard.terminated", round=number)
                return
            if choice.instruction:
                board.post("coordinator", choice.instruction, kind="instruction", private_to=choice.agent)
            yield crew.told("blackboard.round_started", round=number, agent=choice.agent)
            result = await self._contribute(crew, choice.agent, board, prompt)
            kind, content = _kind_of(result.output)
            board.post(choice.agent, content, kind=kind)
            yield crew.told("blackboard.posted", round=number, author=choice.agent, kind=kind)
            if crew.stopped(result, f"worker:{choice.agent}"):
                return
            if kind == "answer" and self.coordinator is None:
                return
        yield crew.told("blackboard.max_rounds_reached", rounds=self.max_rounds)

    async def _ask_coordinator(self, crew: Crew, coordinator: Agent, board: Blackboard, prompt: str) -> RunResult:
        listed = "\n".join(f"- {name}: {about(agent)}" for name, agent in self.agents.items())
        situation = _situation(board, "coordinator", prompt)
        question = f"{self._coordinate}\n\nThe agents:\n{listed}\n\n{situation}\n\n{_CHOICE}"
        return await crew.turn("coordinator", coordinator, question, answers=False)

    async def _contribute(self, crew: Crew, name: str, board: Blackboard, prompt: str) -> RunResult:
        text = f"{_CONTRIBUTE.format(name=name)}\n\n{_situation(board, name, prompt)}"
        return await crew.turn(name, self.agents[name], text)


@dataclass(frozen=True, slots=True)
class _Choice:
    """Who writes next, or that nobody does."""

    agent: str
    instruction: str = ""
    ends: bool = False


def _read_choice(text: str, names: list[str], in_turn: str) -> _Choice:
    for value in json_values(text):
        if isinstance(value, dict):
            named = value.get("next_agent")
            agent = named if named in names else in_turn
            return _Choice(agent, str(value.get("instruction") or ""), value.get("terminate") is True)
    return _Choice(in_turn)


def _kind_of(output: str) -> tuple[str, str]:
    text = output.strip()
    if text.upper().startswith(_ANSWER):
        return "answer", text[len(_ANSWER) :].strip()
    return "contribution", output


def _listed(entries: Sequence[BlackboardEntry]) -> str:
    return "\n".join(f"[{entry.author}] ({entry.kind}) {entry.content}" for entry in entries)


def _situation(board: Blackboard, name: str, prompt: str) -> str:
    return f"Task:\n{prompt}\n\nThe board:\n{board.render_for(name) or '(empty)'}"
