"""Questions that a strategy asks a model besides those of its base: plain text in, plain text out.

A question either answers for the agent or is about its work. One that answers begins with the agent's instructions. One
that is about the work quotes them: a critic must know the rules, but a rule such as "answer in JSON" is not for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from agents.core import loop
from agents.core.architectures.base import AgentSession, Dependencies
from agents.core.prompt import opening
from loom.events import Event
from loom.messages import Message, Role

_QUOTED = (
    "The agent that answers has these instructions. The answer must follow them; they do not say how you write:\n"
    "<instructions>\n{}\n</instructions>"
)


@dataclass(frozen=True, slots=True)
class Backdrop:
    """The agent's instructions, and what memory and the session's history say."""

    instructions: str
    said: tuple[Message, ...]

    def answering(self, directive: str, *turns: Message) -> list[Message]:
        """A question whose answer is the agent's own."""
        return self._with(f"{self.instructions}\n\n{directive}".strip(), turns)

    def about(self, directive: str, *turns: Message) -> list[Message]:
        """A question about the agent's work."""
        quoted = _QUOTED.format(self.instructions) if self.instructions else ""
        return self._with(f"{directive}\n\n{quoted}".strip(), turns)

    def conversation(self, prompt: str, output: str) -> list[Message]:
        """What the session has said when it ends with this answer."""
        system = [Message(role=Role.SYSTEM, content=self.instructions)] if self.instructions else []
        return [*system, *self.said, user(prompt), assistant(output)]

    def _with(self, system: str, turns: Sequence[Message]) -> list[Message]:
        return [Message(role=Role.SYSTEM, content=system), *self.said, *turns]


async def backdrop_for(session: AgentSession, deps: Dependencies, prompt: str) -> Backdrop:
    """What the questions of this run begin with.

    A session that is sent back to work remembers what it has said. Its tool calls are left out: providers refuse them
    where no tools are offered.
    """
    messages = session.messages or (await opening(session, deps, prompt))[:-1]
    own = Message(role=Role.SYSTEM, content=session.instructions)
    said = [m for m in messages if m.role is not Role.TOOL and m.content and m != own]
    return Backdrop(session.instructions, tuple(m.model_copy(update={"tool_calls": ()}) for m in said))


async def ask(
    session: AgentSession, deps: Dependencies, messages: Sequence[Message], *, step: str, output_schema: Any = None
) -> str | None:
    """Ask the agent's model without its tools. None when the gate says no, and the session is interrupted.

    It counts as a turn. `step` ends in `model`.
    """
    session.turns += 1
    reply = await loop.call_model(session, deps, messages, step=step, output_schema=output_schema)
    return None if reply is None else reply.text


def below(deps: Dependencies, name: str, **changes: Any) -> Dependencies:
    """The dependencies of a strategy nested in this one: its step keys and events start with the name."""
    return replace(deps, path=f"{deps.path}{name}/", **changes)


def told(session: AgentSession, deps: Dependencies, name: str, **data: Any) -> Event:
    """An event of a strategy, with the place of a nested one."""
    event = Event.architecture_event(session.id, name, **data)
    worker = deps.path.rstrip("/")
    return event.model_copy(update={"worker": worker}) if worker else event


def list_in(value: Any) -> Any:
    """The only list in an object, since models write `{"steps": […]}` where a list was asked for; else the value."""
    if isinstance(value, dict) and len(lists := [item for item in value.values() if isinstance(item, list)]) == 1:
        return lists[0]
    return value


def user(text: str) -> Message:
    return Message(role=Role.USER, content=text)


def assistant(text: str) -> Message:
    return Message(role=Role.ASSISTANT, content=text)
