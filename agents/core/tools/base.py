"""What the loop needs from a set of tools."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, Field

from loom.messages import ToolCall, ToolDef, ToolResult, utcnow

if TYPE_CHECKING:
    from agents.core.architectures.base import AgentSession, Dependencies

# A host may have `call_at`, for tools whose work is made of journaled steps itself, such as running an agent. It is
# given the call, the path of its step and the run that calls, is not recorded as a step, and answers None for an
# ordinary tool.
CallAt = Callable[[ToolCall, str, "AgentSession", "Dependencies"], Awaitable[ToolResult | None]]


class ToolEvent(BaseModel):
    """A tool appeared, went away or changed."""

    kind: Literal["added", "removed", "updated"]
    tool: str
    server: str | None = None
    at: datetime = Field(default_factory=utcnow)


@runtime_checkable
class ToolHost(Protocol):
    """Something that offers tools. `call` never raises for a tool that fails: failure is a result."""

    async def list_tools(self, *, query: str | None = None) -> list[ToolDef]: ...

    async def call(self, tool: str, args: Mapping[str, Any], *, call_id: str = "") -> ToolResult: ...

    def watch(self) -> AsyncIterator[ToolEvent]: ...
