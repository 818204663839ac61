"""A model that answers from a script, so that a test or an example decides what it says."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any

from agents.core.llm.base import Completion
from agents.core.llm.pieces import words
from agents.core.llm.pricing import FREE
from loom.messages import Message, ModelChunk, ToolCall, ToolDef, Usage


@dataclass
class ScriptedTurn:
    """One answer: what is said, which tools are called, and what it is said to have cost."""

    text: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)


Answer = Callable[[list[Message]], ScriptedTurn | Awaitable[ScriptedTurn]]


class ScriptedModel:
    """Plays its turns in order; past the end it says nothing.

    A turn may be a function of the messages, sync or async, so that a script can look at what it was asked, wait, or
    raise. Turns are handed out in the order in which the calls arrive.
    """

    name = "scripted"
    price = FREE  # what a turn is said to cost is in its usage

    def __init__(self, turns: Sequence[ScriptedTurn | Answer]) -> None:
        self._turns = list(turns)
        self._played = 0

    def count_input(self, messages: Sequence[Message]) -> int:
        """Nothing: what a turn is said to take is in its usage, and not known before."""
        return 0

    @property
    def remaining(self) -> int:
        return max(0, len(self._turns) - self._played)

    async def complete(
        self,
        messages: list[Message],
        *,
        tools: list[ToolDef] | None = None,
        temperature: float = 1.0,
        max_tokens: int | None = None,
        output_schema: Any | None = None,
        effort: str | None = None,
        strict_effort: bool = False,
        prompt_caching: Any = None,
    ) -> Completion:
        turn = await self._next(messages)
        return turn.text, list(turn.tool_calls), turn.usage, _finish_reason(turn)

    async def stream(
        self,
        messages: list[Message],
        *,
        tools: list[ToolDef] | None = None,
        temperature: float = 1.0,
        max_tokens: int | None = None,
        output_schema: Any | None = None,
        effort: str | None = None,
        strict_effort: bool = False,
        prompt_caching: Any = None,
    ) -> AsyncIterator[ModelChunk]:
        turn = await self._next(messages)
        for word in words(turn.text):
            yield ModelChunk(kind="text", text=word)
        for call in turn.tool_calls:
            yield ModelChunk(kind="tool_call", tool_call=call)
        yield ModelChunk(kind="finish", finish_reason=_finish_reason(turn), usage=turn.usage)

    async def _next(self, messages: list[Message]) -> ScriptedTurn:
        if not self.remaining:
            return ScriptedTurn()
        turn = self._turns[self._played]
        self._played += 1
        if isinstance(turn, ScriptedTurn):
            return turn
        answer = turn(messages)
        return await answer if isawaitable(answer) else answer


def _finish_reason(turn: ScriptedTurn) -> str:
    return "tool_use" if turn.tool_calls else "stop"
