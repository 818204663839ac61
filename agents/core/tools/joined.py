"""Several tool hosts as one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio

from agents.core.tools.base import ToolEvent, ToolHost
from loom.messages import ToolDef, ToolResult


class Joined:
    """The tools of several hosts. Where two offer one name, the first host's is the one that is seen and called."""

    def __init__(self, *hosts: ToolHost) -> None:
        self._hosts = hosts

    async def list_tools(self, *, query: str | None = None) -> list[ToolDef]:
        found: dict[str, ToolDef] = {}
        for host in self._hosts:
            for tool in await host.list_tools(query=query):
                found.setdefault(tool.name, tool)
        return list(found.values())

    async def call(self, tool: str, args: Mapping[str, Any], *, call_id: str = "") -> ToolResult:
        for host in self._hosts[:-1]:
            if any(known.name == tool for known in await host.list_tools()):
                return await host.call(tool, args, call_id=call_id)
        return await self._hosts[-1].call(tool, args, call_id=call_id)

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
