"""A cast for teams: agents with scripts, and one list of who was asked what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio

from agents.core.agent import Agent
from agents.core.ambient import Ambient
from agents.core.architectures.base import Architecture
from agents.core.concurrency import together
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.runtime.engine import Answer
from agents.core.runtime.journal import JournalSession
from loom.context import RunContext, get_run_context
from loom.events import Event, EventKind
from loom.messages import Message, Role, ToolCall, Usage
from tests.unit.agents.architectures.stage import Recording

Line = str | ScriptedTurn | Exception | Callable[[list[Message]], Any]


@dataclass
class Cast:
    """Everybody who speaks. `asked` tells each model call: who was asked, and the messages."""

    asked: list[tuple[str, list[Message]]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def agent(self, who: str, *lines: Line, instructions: str | None = None, **options: Any) -> Agent:
        """An agent that answers its model calls with the lines, one by one. A line that is a function is asked."""
        model = ScriptedModel([partial(self._answer, who, line) for line in lines])
        return Agent(f"You are {who}." if instructions is None else instructions, name=who, model=model, **options)

    def team(self, architecture: Architecture, *lines: Line, instructions: str = "", **options: Any) -> Agent:
        return self.agent("team", *lines, instructions=instructions, architecture=architecture, **options)

    def prompts(self) -> list[tuple[str, str]]:
        """Who was asked, and the last thing that was said to them."""
        return [(who, messages[-1].content) for who, messages in self.asked]

    def order(self) -> list[str]:
        return [who for who, _ in self.asked]

    def heard_by(self, who: str, call: int = 0) -> str:
        """All that one of them was told in a call."""
        return "\n".join(m.content for m in [m for name, m in self.asked if name == who][call])

    async def hear(self, event: Event) -> None:
        self.events.append(event)

    def told(self) -> list[dict[str, Any]]:
        return [event.payload for event in self.events if event.kind is EventKind.ARCHITECTURE_EVENT]

    def names(self) -> list[str]:
        return [payload["name"] for payload in self.told()]

    def _answer(self, who: str, line: Line, messages: list[Message]) -> Any:
        self.asked.append((who, list(messages)))
        if isinstance(line, Exception):
            raise line
        if isinstance(line, str):
            return ScriptedTurn(line, usage=Usage(output_tokens=10))
        return line(messages) if callable(line) else line


def tool_turn(*calls: tuple[str, dict[str, Any]]) -> ScriptedTurn:
    wanted = [ToolCall(id=f"c{number}", tool=tool, args=args) for number, (tool, args) in enumerate(calls, start=1)]
    return ScriptedTurn(tool_calls=wanted, usage=Usage(output_tokens=10))


async def over(journal: Recording, team: Agent, *, user_id: str = "ann") -> Answer:
    """Run a team over a journal, as a durable runtime does."""
    session = JournalSession("sess_1", journal, list(journal.records))
    ambient = Ambient(RunContext(user_id=user_id, session_id="sess_1", run_id="run_1"), runtime=session)
    return await team.answer("Go.", ambient)


async def replays(cast: Cast, team: Agent) -> Recording:
    """Run a team over an empty journal and again over what it wrote: that must ask nobody and write nothing."""
    journal = Recording()
    first = await over(journal, team)
    asked, written = len(cast.asked), len(journal.records)

    second = await over(journal, team)

    assert second == first
    assert (len(cast.asked), len(journal.records)) == (asked, written)
    assert len(journal.steps()) == len(set(journal.steps()))
    return journal


class Fates:
    """A line that answers with its user's last words, after as many turns of the event loop as it is dealt."""

    def __init__(self, dealt: list[int], answer: str = "answer") -> None:
        self._dealt, self._answer = list(dealt), answer
        self.seen: list[tuple[str | None, str]] = []

    async def __call__(self, messages: list[Message]) -> ScriptedTurn:
        user_id = get_run_context().user_id
        self.seen.append((user_id, "\n".join(m.content for m in messages)))
        for _ in range(self._dealt.pop() if self._dealt else 0):
            await anyio.sleep(0)
        return ScriptedTurn(f"{self._answer} for {user_id}", usage=Usage(output_tokens=10))

    def check_apart(self, *users: str) -> None:
        """Nobody's agent has heard of anybody else."""
        for user_id, heard in self.seen:
            assert not [other for other in users if other != user_id and other in heard]


async def both(team: Agent, *, turns: int = 2) -> dict[str, list[str]]:
    """Two users with the same session id on one team at the same time, for some turns each."""
    answers: dict[str, list[str]] = {"ann": [], "cem": []}

    async def converse(user_id: str) -> None:
        for turn in range(turns):
            result = await team.run(f"{user_id} asks {turn}", user_id=user_id, session_id="s")
            answers[user_id].append(result.output)

    await together([partial(converse, user_id) for user_id in answers])
    return answers


def roles(messages: list[Message]) -> list[Role]:
    return [message.role for message in messages]
