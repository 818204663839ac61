"""Several tool hosts as one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

import anyio

from agents.core.tools.base import CallAt, ToolEvent, ToolHost
from loom.messages import ToolCall, ToolDef, ToolResult

if TYPE_CHECKING:
    from agents.core.architectures.base import AgentSession, Dependencies


class Joined:
    """The tools of several hosts. Where two offer one name, the first host's is the one that is seen and called."""

    def __init__(self, *hosts: ToolHost) -> None:
        self._hosts = hosts

    @property
    def call_at(self) -> CallAt | None:
        """The way to tools that run within the run that calls them; a host may get the first of them at any time."""
        nested = any(getattr(host, "call_at", None) is not None for host in self._hosts)
        return self._call_at if nested else None

    async def list_tools(self, *, query: str | None = None) -> list[ToolDef]:
        found: dict[str, ToolDef] = {}
        for host in self._hosts:
            for tool in await host.list_tools(query=query):
                found.setdefault(tool.name, tool)
        return list(found.values())

    async def call(self, tool: str, args: Mapping[str, Any], *, call_id: str = "") -> ToolResult:
        return await (await self._host_of(tool)).call(tool, args, call_id=call_id)

    def can_undo(self, tool: str) -> bool:
        return self._undoing(tool) is not None

    async def undo(self, tool: str, args: Mapping[str, Any], output: Any) -> Any:
        host = self._undoing(tool)
        assert host is not None, "asked before"
        return await host.undo(tool, args, output)

    async def watch(self) -> AsyncIterator[ToolEvent]:
        send, receive = anyio.create_memory_object_stream[ToolEvent](16)

        async def forward(host: ToolHost) -> None:
            async for event in host.watch():
                await send.send(event)

        async with anyio.create_task_group() as group, send, receive:
            for host in self._hosts:
                group.start_soon(forward, host)
            async for event in receive:
                yield event

    def _undoing(self, tool: str) -> Any:
        """The first host that can undo a call of this tool."""
        can: list[Any] = [host for host in self._hosts if getattr(host, "can_undo", None) is not None]
        return next((host for host in can if host.can_undo(tool)), None)

    async def _host_of(self, tool: str) -> ToolHost:
        for host in self._hosts[:-1]:
            if any(known.name == tool for known in await host.list_tools()):
                return host
        return self._hosts[-1]

    async def _call_at(self, call: ToolCall, key: str, session: AgentSession, deps: Dependencies) -> ToolResult | None:
        call_at: CallAt | None = getattr(await self._host_of(call.tool), "call_at", None)
        return await call_at(call, key, session, deps) if call_at is not None else None
