"""Talking to one MCP server."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from agents.core.tools.mcp.connection import Door
from agents.core.tools.mcp.descriptors import effect_of
from agents.core.tools.mcp.link import Bell, Link
from agents.core.tools.mcp.owner import Owner, owner
from agents.core.tools.mcp.spec import MCPServerSpec
from loom.context import get_run_context
from loom.errors import MCPError

if TYPE_CHECKING:
    from mcp import Client

T = TypeVar("T")


class Session(Protocol):
    """An MCP session that somebody else keeps open."""

    async def list_tools(self) -> Any: ...

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> Any: ...


class MCPClient:
    """One server, connected on first use and again after a loss, until `aclose`.

    Usable with and without `async with`, from any task, loop or thread. Answers are those of the MCP SDK. Every method
    raises MCPError when the server cannot be reached, does not answer in time or refuses. A call whose connection broke
    is repeated only when the tool says that this does no harm (read-only or idempotent).

    With `session`, requests go to that session and connecting is its owner's business. With credentials per user, it
    speaks for the user who first needs it and refuses others until `aclose`; a registry makes a client for each.
    """

    def __init__(self, spec: MCPServerSpec, *, session: Session | None = None, door: Door | None = None) -> None:
        self._spec = spec
        self._session = session
        self.door = door or Door()
        self._bells: list[Bell] = []
        self._link: tuple[Owner, Link] | None = None
        self._user_id: str | None = None  # whose credentials the link has
        self._listing: list[Any] | None = None

    @property
    def spec(self) -> MCPServerSpec:
        return self._spec

    @property
    def name(self) -> str:
        return self._spec.name

    @property
    def is_per_user(self) -> bool:
        return self._session is None and self._spec.is_per_user

    @property
    def is_connected(self) -> bool:
        return self._session is not None or (self._link is not None and self._link[1].is_connected)

    async def connect(self) -> None:
        if self._session is None:
            home, link = await self._reach()
            await home.call(link.connect)

    async def aclose(self) -> None:
        self._listing = None
        reached, self._link = self._link, None
        if reached is not None and reached[0] is owner():
            home, link = reached
            await home.call(link.aclose)

    async def __aenter__(self) -> MCPClient:
        await self.connect()
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.aclose()

    async def list_tools(self) -> list[Any]:
        """The server's tools. Asked once; again after the server said that they changed, and after a reconnect."""
        known = self.known_tools
        if known is None:
            known = self._listing = await self._tools()
        return known

    @property
    def known_tools(self) -> list[Any] | None:
        """The tools that were listed last, or None when they must be asked for."""
        is_stale = self._link is not None and self._link[1].is_stale
        return None if is_stale or self._is_somebody_elses() else self._listing

    async def call_tool(self, name: str, args: dict[str, Any]) -> Any:
        if self._session is not None:
            return await self._session.call_tool(name, args)
        return await self._request(
            lambda client: client.call_tool(name, args),
            what=f"the call of {name!r}",
            repeatable=self._is_harmless(name),
        )

    async def list_resources(self) -> list[Any]:
        return await self._pages(lambda client, cursor: client.list_resources(cursor=cursor), "resources")

    async def list_resource_templates(self) -> list[Any]:
        return await self._pages(
            lambda client, cursor: client.list_resource_templates(cursor=cursor), "resource_templates"
        )

    async def read_resource(self, uri: str) -> Any:
        return await self._request(lambda client: client.read_resource(uri), what=f"the reading of {uri!r}")

    async def list_prompts(self) -> list[Any]:
        return await self._pages(lambda client, cursor: client.list_prompts(cursor=cursor), "prompts")

    async def get_prompt(self, name: str, arguments: Mapping[str, str] | None = None) -> Any:
        return await self._request(
            lambda client: client.get_prompt(name, dict(arguments or {})), what=f"the prompt {name!r}"
        )

    def forget_listing(self) -> None:
        """Ask for the tools again at the next need, and try again to connect where that failed."""
        self._listing = None
        if self._link is not None:
            self._link[1].wake()

    def ring(self, bell: Bell) -> None:
        """Let `bell` ring whenever the tools of this server may have changed."""
        self._bells.append(bell)

    async def _tools(self) -> list[Any]:
        if self._session is not None:
            answer = await self._session.list_tools()
            return list(getattr(answer, "tools", answer))
        home, link = await self._reach()
        return await home.call(link.tools)

    async def _pages(self, ask: Callable[[Client, str | None], Awaitable[Any]], field: str) -> list[Any]:
        found: list[Any] = []
        cursor: str | None = None
        while True:
            page = await self._request(_at(ask, cursor), what=f"the list of {field}")
            found.extend(getattr(page, field))
            cursor = page.next_cursor
            if not cursor:
                return found

    async def _request(self, send: Callable[[Client], Awaitable[T]], *, what: str, repeatable: bool = True) -> T:
        home, link = await self._reach()
        return await home.call(link.request, send, what=what, repeatable=repeatable)

    async def _reach(self) -> tuple[Owner, Link]:
        home = owner()
        if self._link is None or self._link[0] is not home:  # another owner: this process was forked since
            context = get_run_context()
            spec = await self._spec.resolved(context)
            spec.check()
            if self._link is None or self._link[0] is not home:  # else another call came first, maybe another user's
                link = Link(spec, home, self.door, self._bells)
                self._link, self._user_id = (home, link), context.user_id
                weakref.finalize(self, _let_go, home, link).atexit = False
        if self._is_somebody_elses():
            raise MCPError(f"MCP server {self.name!r}: this client has the credentials of another user")
        return self._link

    def _is_somebody_elses(self) -> bool:
        return self.is_per_user and self._link is not None and get_run_context().user_id != self._user_id

    def _is_harmless(self, tool: str) -> bool:
        for known in self._listing or ():
            if known.name == tool:
                return effect_of(known)[0] in ("read", "idempotent")
        return False


def _at(ask: Callable[[Client, str | None], Awaitable[Any]], cursor: str | None) -> Callable[[Client], Awaitable[Any]]:
    return lambda client: ask(client, cursor)


def _let_go(home: Owner, link: Link) -> None:
    """End the connection of a client that was dropped without `aclose`."""
    home.later(link.end)
