"""What a sandbox stands around, and the one that lets everything through."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, runtime_checkable

from loom.messages import ToolDef, ToolResult


class ToolHost(Protocol):
    """Something that offers tools, as far as a sandbox needs to know it."""

    async def list_tools(self, *, query: str | None = None) -> list[ToolDef]: ...

    async def call(self, tool: str, args: Mapping[str, Any], *, call_id: str = "") -> ToolResult: ...

    def watch(self) -> AsyncIterator[Any]: ...


@runtime_checkable
class Sandbox(Protocol):
    """Something that runs single tools, for hosts that bring their own isolation."""

    async def execute(self, tool: ToolDef, args: Mapping[str, Any]) -> ToolResult: ...

    def with_filesystem(self, root: str) -> AbstractAsyncContextManager[None]: ...


class NoSandbox:
    """No walls: every call goes through as it is."""

    def __init__(self, inner: ToolHost) -> None:
        self._inner = inner

    @property
    def inner(self) -> ToolHost:
        return self._inner

    def around(self, host: ToolHost) -> NoSandbox:
        return NoSandbox(around(self._inner, host))

    async def list_tools(self, *, query: str | None = None) -> list[ToolDef]:
        return await self._inner.list_tools(query=query)

    async def call(self, tool: str, args: Mapping[str, Any], *, call_id: str = "") -> ToolResult:
        return await self._inner.call(tool, args, call_id=call_id)

    @property
    def call_at(self) -> Callable[..., Awaitable[ToolResult | None]] | None:
        """The inner host's way to tools that run within the run that calls them, where it has one."""
        found: Callable[..., Awaitable[ToolResult | None]] | None = getattr(self._inner, "call_at", None)
        return found

    def can_undo(self, tool: str) -> bool:
        return can_undo(self._inner, tool)

    async def undo(self, tool: str, args: Mapping[str, Any], output: Any) -> Any:
        inner: Any = self._inner
        return await inner.undo(tool, args, output)

    async def watch(self) -> AsyncIterator[Any]:
        async for event in self._inner.watch():
            yield event


def around(walls: Any, host: ToolHost) -> ToolHost:
    """Another host behind the same walls, where `walls` is a sandbox; as it is otherwise."""
    build = getattr(walls, "around", None)
    walled: ToolHost = host if build is None else build(host)
    return walled


def can_undo(host: Any, tool: str) -> bool:
    """Whether a host can undo calls of a tool; there are hosts that know nothing of that."""
    asked = getattr(host, "can_undo", None)
    return asked is not None and bool(asked(tool))
