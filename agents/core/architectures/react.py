"""ReAct: observe, think, act. The default loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from agents.core import loop
from agents.core.architectures.base import AgentSession, Dependencies
from agents.core.context_window import keep_within
from agents.core.prompt import opening
from audit.core.telemetry import turn_span
from loom.events import Event
from loom.messages import Message, Role, ToolCall, ToolDef

if TYPE_CHECKING:
    from agents.core.agent import Agent


class ReAct:
    """Ask the model; run the tools it calls, all of a turn at the same time; ask again, until it calls none.

    Source: Yao et al., "ReAct: Synergizing Reasoning and Acting in Language Models", 2022 (arXiv:2210.03629), with the
    native tool calls of today's models in place of parsed text. Costs one model call a turn.
    """

    name = "react"

    def __init__(self, *, max_turns: int | None = None) -> None:
        if max_turns is not None and max_turns < 1:
            raise ValueError(f"max_turns is at least 1, not {max_turns}")
        self.max_turns = max_turns

    def declared_workers(self) -> Mapping[str, Agent]:
        return {}

    def run(self, session: AgentSession, deps: Dependencies, prompt: str) -> AsyncIterator[Event]:
        return _Silent(partial(self._take_turns, session, deps, prompt))

    async def _take_turns(self, session: AgentSession, deps: Dependencies, prompt: str) -> None:
        if not session.messages:
            session.messages = await opening(session, deps, prompt)
        else:
            session.messages.append(Message(role=Role.USER, content=prompt))
        cap = self.max_turns or deps.max_turns
        last = session.turns + cap
        while session.turns < last:
            session.turns += 1
            if not await self._take_observed(session, deps):
                return
        session.interrupt("max_turns_exceeded")

    async def _take_observed(self, session: AgentSession, deps: Dependencies) -> bool:
        """A turn in its span; without one where nobody looks, or where the turn is only replayed."""
        if deps.fast_telemetry or loop.is_recorded(deps, f"{deps.path}turn:{session.turns}/model"):
            return await self._take_turn(session, deps)
        async with turn_span(deps.telemetry, session.turns, deps.context):
            return await self._take_turn(session, deps)

    async def _take_turn(self, session: AgentSession, deps: Dependencies) -> bool:
        """One turn; whether another one follows."""
        step = f"turn:{session.turns}"
        if deps.desk is not None:
            deps.desk.restore(session.messages)
        tools = await deps.tools.list_tools()
        await keep_within(session, deps, step=step, tools=tools)
        if session.interrupted:
            return False
        reply = await loop.call_model(
            session, deps, session.messages, step=f"{step}/model", tools=tools, output_schema=deps.output_schema
        )
        if reply is None:
            return False
        session.output = reply.text
        session.messages.append(reply.message())
        if not reply.tool_calls:
            return False
        calls = known(reply.tool_calls, tools)
        results = await loop.call_tools(session, deps, calls, step=step)
        session.messages.extend(loop.tool_messages(calls, results, deps.context_policy.max_result_chars))
        return True


class _Silent:
    """Work that yields no event: the loop has told everything there is to tell."""

    __slots__ = ("_work",)

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work

    def __aiter__(self) -> _Silent:
        return self

    async def __anext__(self) -> Event:
        await self._work()
        raise StopAsyncIteration


def known(calls: Sequence[ToolCall], tools: Sequence[ToolDef]) -> list[ToolCall]:
    """The calls with what their tools say of themselves: whether they destroy, and whether a person must approve."""
    by_name = {tool.name: tool for tool in tools}
    return [
        call if (tool := by_name.get(call.tool)) is None else call.model_copy(update={"tool_def": tool})
        for call in calls
    ]
