"""Tools by which a model moves a team: delegating, forwarding, handing off."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from agents.core.tools.base import CallAt, ToolEvent, ToolHost
from agents.core.tools.parameters import check_schema
from loom.errors import InvalidArguments
from loom.messages import ToolCall, ToolDef, ToolResult

if TYPE_CHECKING:
    from agents.core.architectures.base import AgentSession, Dependencies


_TEXT = {"type": "string"}


@dataclass(frozen=True, slots=True)
class TeamTool:
    """A tool that acts on the run itself. `run` gets the checked arguments and the path of the call."""

    definition: ToolDef
    run: Callable[[Mapping[str, Any], str], Awaitable[str]]

    def check(self, args: Mapping[str, Any]) -> None:
        """Raises InvalidArguments. Whether all is there and is text, as most of them want it, is seen at a glance."""
        wanted: dict[str, Any] = self.definition.input_schema.get("properties", {})
        if wanted.keys() != args.keys() or not all(
            schema == _TEXT and isinstance(args[name], str) for name, schema in wanted.items()
        ):
            check_schema(self.definition.name, self.definition.input_schema, args)


def team_tool(
    name: str, description: str, parameters: Sequence[str], run: Callable[[Mapping[str, Any], str], Awaitable[str]]
) -> TeamTool:
    """A tool whose parameters are texts, all required."""
    return TeamTool(_definition(name, description, tuple(parameters)), run)


@lru_cache(maxsize=1024)  # the same in every run of a team
def _definition(name: str, description: str, parameters: tuple[str, ...]) -> ToolDef:
    schema = {"type": "object", "properties": dict.fromkeys(parameters, _TEXT), "required": list(parameters)}
    return ToolDef(name=name, description=description, input_schema=schema, effect="idempotent")


class TeamTools:
    """The tools of a team, and behind them another host.

    A team's tools are no steps: the agents that they run take steps of their own, and what they note of the run must
    be noted again when it is replayed. What they raise is raised by the run, not told to the model.
    """

    def __init__(self, tools: Sequence[TeamTool], inner: ToolHost) -> None:
        self._tools = {tool.definition.name: tool for tool in tools}
        self._inner = inner

    async def list_tools(self, *, query: str | None = None) -> list[ToolDef]:
        wanted = (query or "").casefold()
        own = [tool.definition for tool in self._tools.values()]
        found = [d for d in own if wanted in d.name.casefold() or wanted in d.description.casefold()]
        return found + [d for d in await self._inner.list_tools(query=query) if d.name not in self._tools]

    async def call(self, tool: str, args: Mapping[str, Any], *, call_id: str = "") -> ToolResult:
        if tool not in self._tools:
            return await self._inner.call(tool, args, call_id=call_id)
        return await self._run(self._tools[tool], ToolCall(id=call_id, tool=tool, args=dict(args)), call_id)

    async def call_at(self, call: ToolCall, key: str, session: AgentSession, deps: Dependencies) -> ToolResult | None:
        if call.tool in self._tools:
            return await self._run(self._tools[call.tool], call, key)
        inner: CallAt | None = getattr(self._inner, "call_at", None)
        return await inner(call, key, session, deps) if inner is not None else None

    def can_undo(self, tool: str) -> bool:
        asked = getattr(self._inner, "can_undo", None)
        return tool not in self._tools and asked is not None and bool(asked(tool))

    async def undo(self, tool: str, args: Mapping[str, Any], output: Any) -> Any:
        inner: Any = self._inner
        return await inner.undo(tool, args, output)

    def watch(self) -> AsyncIterator[ToolEvent]:
        return self._inner.watch()

    async def _run(self, tool: TeamTool, call: ToolCall, key: str) -> ToolResult:
        try:
            tool.check(call.args)
        except InvalidArguments as error:
            return ToolResult.error_(call.id, str(error))
        return ToolResult.success(call.id, await tool.run(call.args, key))


_PLACE = re.compile(r"turn:(\d+)/tool:call_(\d+)")


def number_of(key: str, path: str) -> str:
    """The number of a worker's run that a tool call starts: `3.2` for the second call of the third turn.

    It comes from the call's place and not from a count, so that calls at the same time get the same ones in a replay.
    """
    place = key.removeprefix(path)
    found = _PLACE.fullmatch(place)
    return f"{found[1]}.{found[2]}" if found else place.replace("/", ".")


def turn_of(key: str) -> str:
    """The turn that a tool call belongs to."""
    return key.rpartition("/")[0]


def order_of(key: str) -> list[Any]:
    """What calls are sorted by: their numbers as numbers."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", key)]
