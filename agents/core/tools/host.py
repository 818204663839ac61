"""The tools of one agent, in its own process."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from difflib import get_close_matches
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakSet

import anyio

from agents.core.tools.base import CallAt, ToolEvent
from agents.core.tools.tool import Tool, as_tool
from loom.background import is_own_cancellation
from loom.errors import ConfigError
from loom.messages import ToolCall, ToolDef, ToolResult, utcnow

if TYPE_CHECKING:
    from agents.core.architectures.base import AgentSession, Dependencies

logger = logging.getLogger(__name__)


class InProcessToolHost:
    """Tools by name. A call never raises: what goes wrong is an error result that the model reads."""

    def __init__(self, tools: Sequence[Tool | Callable[..., Any]] | None = None) -> None:
        self._tools: dict[str, Tool] = {}
        self._nesting: bool | None = None  # not looked at yet
        self._watches: WeakSet[_Watch] | None = None
        for item in tools or ():
            made = as_tool(item)
            if self._tools.setdefault(made.name, made) is not made:
                raise ConfigError(f"two tools are named {made.name!r}; give one of them another name=", tool=made.name)

    def register(self, item: Tool | Callable[..., Any]) -> Tool:
        """Add a tool; one with the same name is replaced."""
        made = as_tool(item)
        known = made.name in self._tools
        self._tools[made.name] = made
        self._nesting = None
        self._announce("updated" if known else "added", made.name)
        return made

    def unregister(self, name: str) -> bool:
        """Take a tool away. False when there was none of that name."""
        if self._tools.pop(name, None) is None:
            return False
        self._nesting = None
        self._announce("removed", name)
        return True

    def get(self, name: str) -> Tool | None:
        return self._tools.get(name)

    def tools(self) -> list[Tool]:
        return list(self._tools.values())

    async def list_tools(self, *, query: str | None = None) -> list[ToolDef]:
        """All tools, or those with the query in their name or description."""
        found = [tool.to_def() for tool in self._tools.values()]
        if not query:
            return found
        wanted = query.casefold()
        return [d for d in found if wanted in d.name.casefold() or wanted in d.description.casefold()]

    async def call(self, tool: str, args: Mapping[str, Any], *, call_id: str = "") -> ToolResult:
        """Run a tool.

        An exception of the tool is an error result, its traceback a debug line in the log. Cancellation of the caller,
        and signals that are no `Exception`, pass.
        """
        found = self._tools.get(tool)
        if found is None:
            return ToolResult.error_(call_id, self._unknown(tool))
        started_at, start = utcnow(), perf_counter()
        try:
            output = await found.execute(args)
        except (Exception, SystemExit, CancelledError) as exc:  # a tool that calls sys.exit() must not stop the worker
            if is_own_cancellation(exc):
                raise
            logger.debug("tool %s failed", tool, exc_info=exc)
            took = (perf_counter() - start) * 1000
            return ToolResult.error_(call_id, _reason(exc), duration_ms=took, started_at=started_at)
        took = (perf_counter() - start) * 1000
        return ToolResult.success(call_id, output, duration_ms=took, started_at=started_at)

    @property
    def call_at(self) -> CallAt | None:
        """The way to tools that run within the run that calls them; None where there are none."""
        if self._nesting is None:
            self._nesting = any(hasattr(tool, "call_at") for tool in self._tools.values())
        return self._call_at if self._nesting else None

    async def _call_at(self, call: ToolCall, key: str, session: AgentSession, deps: Dependencies) -> ToolResult | None:
        call_at: CallAt | None = getattr(self._tools.get(call.tool), "call_at", None)
        return None if call_at is None else await call_at(call, key, session, deps)

    def can_undo(self, tool: str) -> bool:
        """Whether the tool has a `compensate`."""
        found = self._tools.get(tool)
        return found is not None and found.compensate is not None

    async def undo(self, tool: str, args: Mapping[str, Any], output: Any) -> Any:
        """Undo a call that was made. Raises what `compensate` raises."""
        return await self._tools[tool].undo(args, output)

    def watch(self) -> AsyncIterator[ToolEvent]:
        """What is added, replaced and removed from now on, until the iterator is dropped.

        Tools are registered on the thread of the event loop that watches.
        """
        watch = _Watch()
        if self._watches is None:
            self._watches = WeakSet()
        self._watches.add(watch)
        return watch

    def _announce(self, kind: Literal["added", "removed", "updated"], tool: str) -> None:
        for watch in self._watches or ():
            watch.push(ToolEvent(kind=kind, tool=tool))

    def _unknown(self, name: str) -> str:
        near = get_close_matches(name, self._tools, 1)
        return f"unknown tool: {name}" + (f"; did you mean {near[0]!r}?" if near else "")


class _Watch:
    """The events that one watcher has not taken yet."""

    def __init__(self) -> None:
        self._events: deque[ToolEvent] = deque()
        self._news: anyio.Event | None = None

    def push(self, event: ToolEvent) -> None:
        self._events.append(event)
        if self._news is not None:
            self._news.set()

    def __aiter__(self) -> _Watch:
        return self

    async def __anext__(self) -> ToolEvent:
        while not self._events:
            self._news = anyio.Event()
            await self._news.wait()
        return self._events.popleft()


def _reason(exc: BaseException) -> str:
    """What the model is told. One failure in a group of tasks is told as itself."""
    while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    if isinstance(exc, KeyError):  # its text is the bare key
        return f"KeyError: {exc}"
    return str(exc) or type(exc).__name__
