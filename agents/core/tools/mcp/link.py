"""The way to one MCP server: connected on demand, one connection at a time, again after a loss.

Everything here runs on the owner's loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from agents.core.tools.mcp.connection import Connection, Door, Lost, Slow, Unsent
from agents.core.tools.mcp.owner import Owner
from agents.core.tools.mcp.spec import MCPServerSpec
from loom.errors import MCPError

if TYPE_CHECKING:
    from mcp import Client

T = TypeVar("T")


class Bell:
    """Counts changes, and wakes who waits for the next one."""

    def __init__(self) -> None:
        self.count = 0

    @cached_property
    def _event(self) -> anyio.Event:
        # Made on the owner's loop: made where the bell is, it could belong to trio.
        return anyio.Event()

    def ring(self) -> None:
        self.count += 1
        self._event.set()
        del self._event

    async def aring(self) -> None:
        self.ring()

    async def wait(self, seen: int) -> int:
        """The count, as soon as it is more than `seen`."""
        while self.count <= seen:
            await self._event.wait()
        return self.count


_MIN_REST_SECONDS = 0.5
_ALIVE_SECONDS = 5.0


class Link:
    """Requests to a server, over whatever connection there is.

    After a failed attempt to connect it rests as long as the attempt took and repeats the problem, so that a run with a
    dead server does not wait for it at every turn; `wake` ends the rest.
    """

    def __init__(self, spec: MCPServerSpec, owner: Owner, door: Door, bells: list[Bell]) -> None:
        self._spec = spec
        self._owner = owner
        self._door = door
        self._bells = bells
        self.is_stale = True  # the tools may differ from those that were listed last
        self._connection: Connection | None = None
        self._problem: MCPError | None = None
        self._rest_until = 0.0

    @cached_property
    def _lock(self) -> anyio.Lock:
        # Made on the owner's loop: made where the link is, it could belong to trio.
        return anyio.Lock()

    @property
    def is_connected(self) -> bool:
        return self._connection is not None and self._connection.is_open

    def wake(self) -> None:
        self._rest_until = 0.0

    async def connect(self) -> None:
        await self._live()

    async def aclose(self) -> None:
        async with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                await connection.close()

    def end(self) -> None:
        """Begin to close, without waiting."""
        if self._connection is not None:
            self._connection.end()

    async def tools(self) -> list[Any]:
        try:
            return await self._list(await self._live())
        except (Lost, Unsent):
            return await self._list(await self._live())

    async def request(self, send: Callable[[Client], Awaitable[T]], *, what: str, repeatable: bool) -> T:
        """One request. It is sent again over a new connection when the first certainly was not carried out, or when
        that would do no harm.
        """
        try:
            return await (await self._live()).request(send, what=what)
        except Unsent:
            return await (await self._live()).request(send, what=what)
        except Lost:
            if not repeatable:
                raise
            return await (await self._live()).request(send, what=what)

    async def _list(self, connection: Connection) -> list[Any]:
        self.is_stale = False  # before the request: a change that comes during it must not be forgotten
        try:
            return await connection.tools()
        except BaseException:
            self.is_stale = True
            raise

    def _change(self) -> None:
        self.is_stale = True
        for bell in self._bells:
            bell.ring()

    async def _live(self) -> Connection:
        async with self._lock:
            if self._connection is not None and await self._is_well(self._connection):
                return self._connection
            if self._problem is not None and anyio.current_time() < self._rest_until:
                raise MCPError(str(self._problem))
            self._connection = None
            return await self._connect()

    async def _connect(self) -> Connection:
        begun = anyio.current_time()
        connection = Connection(self._spec, self._door, on_change=self._change)
        await self._owner.start(connection.own)
        try:
            await connection.opened()
        except MCPError as problem:
            now = anyio.current_time()
            self._problem, self._rest_until = problem, now + max(now - begun, _MIN_REST_SECONDS)
            raise
        except anyio.get_cancelled_exc_class():
            connection.end()
            raise
        self._connection, self._problem = connection, None
        self._change()  # another process, or another version of the server, may offer other tools
        return connection

    async def _is_well(self, connection: Connection) -> bool:
        """Whether it can be used. After a timeout a server must first show that it still answers."""
        if connection.is_open and connection.is_suspect:
            connection.is_suspect = False
            with anyio.move_on_after(_ALIVE_SECONDS):
                await _answers(connection)
                return connection.is_open
            connection.end()
        return connection.is_open


async def _answers(connection: Connection) -> None:
    try:
        await connection.tools()
    except (Lost, Unsent, Slow):
        connection.end()
