"""A stage for strategies: an agent with a scripted model, what it was asked, and what it told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agents.core.agent import Agent
from agents.core.ambient import Ambient
from agents.core.architectures.base import Architecture
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.result import RunResult
from agents.core.runtime.journal import JournalSession
from loom.context import RunContext
from loom.events import Event, EventKind, Record
from loom.messages import Message, Role, ToolCall, Usage

INSTRUCTIONS = "You are a careful clerk."
SPENT = 10_000  # the output tokens of each model call
Line = str | ScriptedTurn | Exception


@dataclass
class Stage:
    """One agent. Each line answers one model call: a text, a turn, or an exception to raise."""

    lines: list[Line]
    asked: list[list[Message]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def agent(self, architecture: Architecture, instructions: str = INSTRUCTIONS, **options: Any) -> Agent:
        model = ScriptedModel([self._answer(line) for line in self.lines])
        return Agent(instructions, model=model, architecture=architecture, **options)

    async def run(self, architecture: Architecture, prompt: str, *, user_id: str = "ann", **options: Any) -> RunResult:
        return await self.agent(architecture, **options).run(prompt, user_id=user_id, emit=self.hear)

    async def over_journal(
        self, architecture: Architecture, journal: Recording | None = None, **options: Any
    ) -> tuple[Recording, str | None]:
        """Run over a journal, an empty one if need be. None is the output of a run that an error cut off."""
        journal = journal or Recording()
        try:
            return journal, await _over(journal, self.agent(architecture, **options), "Go.")
        except RuntimeError:
            return journal, None

    async def hear(self, event: Event) -> None:
        self.events.append(event)

    def told(self) -> list[dict[str, Any]]:
        """The events of strategies."""
        return [event.payload for event in self.events if event.kind is EventKind.ARCHITECTURE_EVENT]

    def names(self) -> list[str]:
        return [payload["name"] for payload in self.told()]

    def system(self, call: int) -> str:
        return "\n".join(m.content for m in self.asked[call] if m.role is Role.SYSTEM)

    def question(self, call: int) -> str:
        return self.asked[call][-1].content

    def _answer(self, line: Line) -> Any:
        def answer(messages: list[Message]) -> ScriptedTurn:
            self.asked.append(list(messages))
            if isinstance(line, Exception):
                raise line
            return line if isinstance(line, ScriptedTurn) else ScriptedTurn(line, usage=Usage(output_tokens=SPENT))

        return answer


def calls(*wanted: ToolCall) -> ScriptedTurn:
    return ScriptedTurn(tool_calls=list(wanted), usage=Usage(output_tokens=SPENT))


@dataclass
class Recording:
    """A journal in memory."""

    records: list[Record] = field(default_factory=list)

    def post(self, record: Record) -> None:
        self.records.append(record)

    async def flush(self) -> None:
        return None

    def steps(self) -> list[str]:
        """The keys of the finished steps, in the order in which they ended."""
        return [r.step_key for r in self.records if r.step_key and "value" in r.data]


async def replayed(stage: Stage, architecture: Architecture, prompt: str, **options: Any) -> tuple[Recording, str, str]:
    """Run over an empty journal, then over the journal of that run, which must not grow or ask the model again."""
    journal = Recording()
    first = await _over(journal, stage.agent(architecture, **options), prompt)
    asked, written = len(stage.asked), len(journal.records)

    deaf = Stage([AssertionError("the model was asked again")] * 20)
    second = await _over(journal, deaf.agent(architecture, **options), prompt)

    assert len(stage.asked) == asked
    assert len(journal.records) == written
    assert len(journal.steps()) == len(set(journal.steps()))
    return journal, first, second


async def _over(journal: Recording, agent: Agent, prompt: str) -> str:
    session = JournalSession("sess_1", journal, list(journal.records))
    ambient = Ambient(RunContext(user_id="ann", session_id="sess_1", run_id="run_1"), runtime=session)
    return (await agent.answer(prompt, ambient)).output
