"""One live connection to an MCP server. Everything here runs on the owner's loop."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from agents.core.tools.mcp.spec import MCPServerSpec
from agents.core.tools.mcp.stderr import Stderr
from loom.errors import MCPError

if TYPE_CHECKING:
    import httpx2
    from mcp import Client

T = TypeVar("T")
log = logging.getLogger(__name__)

_RELISTEN_SECONDS = 5.0
_PAGES = 100


class Lost(MCPError):
    """The connection broke during a request. Whether the request was carried out is not known."""


class Unsent(MCPError):
    """The connection was gone before the request was taken: it was not carried out."""

    code = "mcp"


class Slow(MCPError):
    """The server did not answer in time. Whether the request was carried out is not known."""


@dataclass(frozen=True)
class Door:
    """How connections are made, where the platform has a say: an HTTP client that guards where it connects to, and a
    command line that starts a server inside a sandbox.
    """

    http_client: Callable[[dict[str, str]], httpx2.AsyncClient] | None = None
    wrap_command: Callable[[list[str]], list[str]] | None = None


class Connection:
    """A session with a server, kept open by the task that runs `own`."""

    def __init__(self, spec: MCPServerSpec, door: Door, *, on_change: Callable[[], None]) -> None:
        self._spec = spec
        self._door = door
        self._on_change = on_change
        self._client: Client | None = None
        self._problem: BaseException | None = None
        self._ready, self._ending, self._ended = anyio.Event(), anyio.Event(), anyio.Event()
        self._stderr: Stderr | None = None
        self.is_suspect = False  # a request timed out: look whether the server is alive before the next one

    @property
    def is_open(self) -> bool:
        return self._client is not None and not self._ending.is_set()

    async def own(self) -> None:
        """Open the connection and keep it until `close`, or until the server hangs up."""
        deadline = anyio.current_time() + self._spec.connect_timeout_seconds
        try:
            with anyio.CancelScope(deadline=deadline) as scope:
                await self._hold(scope)
            if scope.cancelled_caught:
                self._problem = TimeoutError(f"no answer within {self._spec.connect_timeout_seconds:g} s")
        except Exception as problem:
            # Whatever a transport fails with is told to those who wait in `opened`; here nobody could handle it.
            self._problem = problem
        finally:
            self._client = None
            self._ready.set()
            self._ended.set()

    async def opened(self) -> None:
        """Wait until the connection can be used. Raises MCPError when it cannot be made."""
        await self._ready.wait()
        if self._client is None:
            raise MCPError(f"MCP server {self._spec.name!r} cannot be reached: {self._reason()}")

    async def close(self) -> None:
        self._ending.set()
        await self._ended.wait()

    def end(self) -> None:
        """Begin to close, without waiting."""
        self._ending.set()

    async def request(self, send: Callable[[Client], Awaitable[T]], *, what: str) -> T:
        """One request with the server's time limit.

        Raises Unsent, Lost or Slow where the connection is to blame, and MCPError where the server refused.
        """
        client = self._client
        if client is None or self._ending.is_set():
            raise Unsent(f"MCP server {self._spec.name!r} hung up before {what}")
        try:
            with anyio.fail_after(self._spec.timeout_seconds):
                return await send(client)
        except Exception as problem:
            raise self._told(problem, what) from problem

    async def tools(self) -> list[Any]:
        """Every tool of the server, all pages."""
        found: list[Any] = []
        cursor: str | None = None
        for _ in range(_PAGES):
            page = await self.request(_page_of_tools(cursor), what="tools/list")
            found.extend(page.tools)
            cursor = page.next_cursor
            if cursor is None:
                return found
        raise MCPError(f"MCP server {self._spec.name!r} lists its tools on more than {_PAGES} pages")

    async def _hold(self, scope: anyio.CancelScope) -> None:
        from mcp import Client  # slow to import: only when a server is really used

        client = Client(
            self._transport(),
            read_timeout_seconds=self._spec.timeout_seconds,
            message_handler=self._hear,
            cache=None,
        )
        async with client:
            scope.deadline = math.inf
            self._client = client
            self._ready.set()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._listen, client)
                await self._ending.wait()
                self._client = None
                tasks.cancel_scope.cancel()

    def _transport(self) -> AbstractAsyncContextManager[Any]:
        return self._stdio() if self._spec.transport == "stdio" else self._http()

    @asynccontextmanager
    async def _stdio(self) -> AsyncIterator[tuple[Any, Any]]:
        from mcp.client.stdio import StdioServerParameters, stdio_client

        argv = [self._spec.command or "", *self._spec.args]
        if self._door.wrap_command is not None:
            argv = self._door.wrap_command(argv)
        parameters = StdioServerParameters(command=argv[0], args=argv[1:], env=dict(self._static(self._spec.env)))
        with Stderr(self._spec.name) as self._stderr:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._stderr.follow)
                async with stdio_client(parameters, errlog=self._stderr.writer) as (read, write):
                    yield _Noticing(read, self._ending.set), write
                tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def _http(self) -> AsyncIterator[tuple[Any, Any]]:
        from mcp.client.streamable_http import streamable_http_client
        from mcp.shared._httpx_utils import create_mcp_http_client

        from agents.core.tools.mcp.bound import MAX_MESSAGE_BYTES, bound_body

        make = self._door.http_client or create_mcp_http_client
        http = make(dict(self._static(self._spec.headers)))
        hooks = http.event_hooks
        http.event_hooks = {**hooks, "response": [*hooks.get("response", []), bound_body]}
        url, size = self._spec.url or "", MAX_MESSAGE_BYTES
        async with http, streamable_http_client(url, http_client=http, max_sse_event_size=size) as (read, write):
            yield _Noticing(read, self._ending.set), write

    def _static(self, pairs: Any) -> tuple[tuple[str, str], ...]:
        if callable(pairs):
            raise MCPError(f"MCP server {self._spec.name!r}: the credentials of nobody were asked for")
        return tuple(pairs)

    async def _hear(self, message: Any) -> None:
        if getattr(message, "method", "") == "notifications/tools/list_changed":
            self._on_change()

    async def _listen(self, client: Client) -> None:
        """Hear of changes from a server of the stateless era, which sends them only to those who ask."""
        from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
        from mcp.shared.exceptions import MCPError as Refused

        tools = client.server_capabilities.tools
        if tools is None or not tools.list_changed:
            return
        while True:
            try:
                async with client.listen(tools_list_changed=True) as changes:
                    self._on_change()  # what happened before the subscription was not told
                    async for _ in changes:
                        self._on_change()
            except ListenNotSupportedError:
                return
            except (Refused, SubscriptionLost, TimeoutError) as problem:
                log.debug("MCP server %s: no change notices: %s", self._spec.name, problem)
            await anyio.sleep(_RELISTEN_SECONDS)

    def _told(self, problem: Exception, what: str) -> MCPError:
        from mcp.shared.exceptions import MCPError as Refused
        from mcp_types import CONNECTION_CLOSED, INVALID_REQUEST, REQUEST_TIMEOUT

        server, reason = self._spec.name, leaf(problem)
        code = problem.error.code if isinstance(problem, Refused) else None
        if isinstance(problem, TimeoutError) or code == REQUEST_TIMEOUT:
            self.is_suspect = True
            return Slow(f"MCP server {server!r} did not answer {what} within {self._spec.timeout_seconds:g} s")
        if code == INVALID_REQUEST and "Session terminated" in str(problem):
            self.end()
            return Unsent(f"MCP server {server!r} has forgotten the session")
        if code == CONNECTION_CLOSED or isinstance(
            problem, (OSError, anyio.ClosedResourceError, anyio.BrokenResourceError)
        ):
            self.end()
            return Lost(f"MCP server {server!r} was lost during {what}: {reason}; it may have been carried out")
        return MCPError(f"MCP server {server!r} refused {what}: {reason}")

    def _reason(self) -> str:
        reason = leaf(self._problem) if self._problem is not None else "it hung up"
        said = self._stderr.last_words() if self._stderr is not None else ""
        return f"{reason}; it said: {said}" if said else reason


class _Noticing:
    """A read stream that tells when it has ended, which the session keeps to itself."""

    def __init__(self, stream: Any, on_end: Callable[[], None]) -> None:
        self._stream = stream
        self._on_end = on_end

    @property
    def last_context(self) -> Any:
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> Any:
        return await self._stream.receive()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def __aiter__(self) -> _Noticing:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._stream.__anext__()
        except (StopAsyncIteration, anyio.ClosedResourceError):
            self._on_end()
            raise

    async def __aenter__(self) -> _Noticing:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *exc_info: Any) -> bool | None:
        ended: bool | None = await self._stream.__aexit__(*exc_info)
        return ended


def _page_of_tools(cursor: str | None) -> Callable[[Client], Awaitable[Any]]:
    return lambda client: client.list_tools(cursor=cursor)


def leaf(problem: BaseException) -> str:
    """The words of an exception, or of the first one inside a group."""
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    return str(problem) or type(problem).__name__
