"""The tools of many MCP servers as one set of tools."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any

import anyio

from agents.core.tools.base import ToolEvent
from agents.core.tools.mcp.client import MCPClient
from agents.core.tools.mcp.connection import Door
from agents.core.tools.mcp.descriptors import digest_of
from agents.core.tools.mcp.index import Entry, Index, index_of
from agents.core.tools.mcp.link import Bell
from agents.core.tools.mcp.owner import owner
from agents.core.tools.mcp.pool import Pool
from agents.core.tools.mcp.results import result_of
from agents.core.tools.mcp.spec import MCPServerSpec
from loom.context import get_run_context
from loom.errors import NotFound
from loom.messages import ToolDef, ToolResult, utcnow

log = logging.getLogger(__name__)

Listings = list[tuple[MCPClient, Sequence[Any]]]

_MAX_BUILT = 100


class MCPRegistry:
    """A ToolHost over MCP servers.

    Servers are connected concurrently when their tools are first needed. One that cannot be reached is left out and
    named, with the reason, in `problems`. A tool name that several servers have is offered as `server.tool`; that form
    always works in `call`. A server whose spec has credentials per user gets one connection per user and credential.

    With `pinned` (a `manifest()` that somebody accepted) a tool that is new, or whose descriptor changed since, is not
    offered and not called; it is named in `quarantined`.
    """

    def __init__(
        self,
        items: Iterable[MCPServerSpec | MCPClient] | None = None,
        *,
        pinned: Mapping[str, str] | None = None,
        door: Door | None = None,
    ) -> None:
        self._bell = Bell()
        self._pool = Pool([_known(item) for item in items or ()], door or Door(), self._bell)
        self._pinned = dict(pinned) if pinned is not None else None
        self._reserved: frozenset[str] = frozenset()
        self._built: OrderedDict[tuple[int, ...], tuple[Listings, Index]] = OrderedDict()
        self._closings = 0
        self._watchers = 0
        self.problems: dict[str, str] = {}
        self.quarantined: dict[str, str] = {}

    @property
    def server_names(self) -> list[str]:
        return self._pool.names

    def reserve(self, names: Iterable[str]) -> None:
        """Names that belong to other tools of the agent: a server's tool of that name is offered as `server.tool`."""
        self._reserved = frozenset(names)
        self._built.clear()

    async def connect(self) -> None:
        """Connect to every server now. Failures are in `problems`."""
        await self._index()

    async def aclose(self) -> None:
        """Close every connection and end every `watch`. A later use connects again."""
        self._closings += 1
        self._built.clear()
        await self._pool.aclose()
        if self._watchers:
            await owner().call(self._bell.aring)

    async def __aenter__(self) -> MCPRegistry:
        await self.connect()
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.aclose()

    async def refresh(self) -> None:
        """Ask every server again for its tools, also those that could not be reached."""
        self._pool.forget_listings()
        self._built.clear()
        await self._index()

    async def list_tools(self, *, query: str | None = None) -> list[ToolDef]:
        offered = [entry.definition for entry in (await self._index()).entries.values()]
        if query is None:
            return offered
        wanted = query.casefold()
        return [tool for tool in offered if wanted in tool.name.casefold() or wanted in tool.description.casefold()]

    async def call(self, tool: str, args: Mapping[str, Any], *, call_id: str = "") -> ToolResult:
        index = await self._index()
        entry = index.find(tool)
        if entry is None:
            return ToolResult.error_(call_id, self._missing(tool, index))
        started_at, begun = utcnow(), monotonic()
        result = await _called(entry, dict(args), call_id)
        took = (monotonic() - begun) * 1000
        return result.model_copy(update={"duration_ms": took, "started_at": started_at})

    async def watch(self) -> AsyncIterator[ToolEvent]:
        """Tools that appear, go away or change, from now on, until `aclose`."""
        closings, seen = self._closings, self._bell.count
        before = (await self._index()).entries
        self._watchers += 1
        try:
            while True:
                seen = await owner().call(self._bell.wait, seen)
                if self._closings != closings:
                    return
                after = (await self._index()).entries
                for event in _changes(before, after):
                    yield event
                before = after
        finally:
            self._watchers -= 1

    async def client(self, server: str) -> MCPClient:
        """The client of a server, for its resources and prompts; of a server with personal credentials, that of the
        user in the current context.
        """
        if server not in self.server_names:
            raise NotFound(f"no MCP server {server!r}; there are: {', '.join(self.server_names) or 'none'}")
        return await self._pool.client(server, get_run_context())

    async def manifest(self) -> dict[str, str]:
        """`server.tool` → hash of its descriptor, for every tool that the servers list: what `pinned` takes."""
        listings = await self._listings()
        return {f"{client.name}.{tool.name}": digest_of(tool) for client, tools in listings for tool in tools}

    async def _index(self) -> Index:
        listings = await self._listings()
        key = tuple(id(tools) for _, tools in listings)
        if key not in self._built:
            # The listings are kept with the index, so that no other list can get the id of one of them.
            self._built[key] = (listings, index_of(listings, reserved=self._reserved, pinned=self._pinned))
            if len(self._built) > _MAX_BUILT:
                self._built.popitem(last=False)
        index = self._built[key][1]
        self._report(index)
        return index

    async def _listings(self) -> Listings:
        shared = self._pool.shared()
        if shared is not None and all(client.known_tools is not None for client in shared):
            return [(client, client.known_tools or []) for client in shared]
        found: dict[str, tuple[MCPClient, Sequence[Any]]] = {}
        async with anyio.create_task_group() as tasks:
            for name in self._pool.names:
                tasks.start_soon(self._ask, name, found)
        return [found[name] for name in self._pool.names if name in found]

    async def _ask(self, name: str, found: dict[str, tuple[MCPClient, Sequence[Any]]]) -> None:
        try:
            client = await self._pool.client(name, get_run_context())
            found[name] = (client, await client.list_tools())
        except Exception as problem:
            # One server, or the function that knows its credentials, must not take the others away.
            if self.problems.get(name) != str(problem):
                log.warning("MCP server %s is left out: %s", name, problem)
            self.problems[name] = str(problem)
            return
        self.problems.pop(name, None)

    def _report(self, index: Index) -> None:
        for tool in index.kept_back:
            if self.quarantined.get(tool.full_name) != tool.reason:
                log.warning("MCP tool %s is quarantined: %s", tool.full_name, tool.reason)
        self.quarantined = {tool.full_name: tool.reason for tool in index.kept_back}

    def _missing(self, tool: str, index: Index) -> str:
        if reason := index.quarantine_of(tool):
            return f"{tool} is quarantined: {reason}"
        if namesakes := index.namesakes(tool):
            return f"unknown tool: {tool}; did you mean {' or '.join(namesakes)}?"
        if self.problems:
            return f"unknown tool: {tool} (servers that cannot be reached: {', '.join(sorted(self.problems))})"
        return f"unknown tool: {tool}"


def _known(item: object) -> MCPServerSpec | MCPClient:
    if isinstance(item, (MCPServerSpec, MCPClient)):
        return item
    raise TypeError(f"an MCP registry takes MCPServerSpec and MCPClient, not {type(item).__name__}")


async def _called(entry: Entry, args: dict[str, Any], call_id: str) -> ToolResult:
    try:
        answer = await entry.client.call_tool(entry.name, args)
    except Exception as problem:
        # Around a tool every failure is told to the model; a call that raised is not made again here.
        return ToolResult.error_(call_id, str(problem) or type(problem).__name__)
    return result_of(answer, call_id=call_id, limit=entry.client.spec.max_result_bytes)


def _changes(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> list[ToolEvent]:
    gone = [
        ToolEvent(kind="removed", tool=name, server=e.client.name) for name, e in before.items() if name not in after
    ]
    new = [ToolEvent(kind="added", tool=name, server=e.client.name) for name, e in after.items() if name not in before]
    changed = [
        ToolEvent(kind="updated", tool=name, server=e.client.name)
        for name, e in after.items()
        if name in before and before[name].digest != e.digest
    ]
    return gone + new + changed
