"""Chroma, used on a thread: a client, or a way to open one."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from loom.errors import ConfigError, MemoryStoreError
from loom.ids import new_id
from memory.core.chroma import OPENING, opened
from memory.core.extras import require

T = TypeVar("T")

_WRITING = threading.Lock()


class Chroma:
    """Where work on a client is done: on a thread, one piece at a time. Raises MemoryStoreError for what Chroma raises.

    What can be opened is opened when it is first used, and again after `aclose`. A client that is given is its giver's
    to close.
    """

    def __init__(self, client: Any = None, *, opened: Callable[[], Any] | None = None) -> None:
        if inspect.iscoroutinefunction(getattr(client, "get_or_create_collection", None)):
            raise ConfigError(f"{type(client).__name__} is asynchronous: give a chromadb.HttpClient, it gets a thread")
        self._client, self._opened = client, opened
        self._turn = threading.Lock()
        self._thread: RunVar[anyio.CapacityLimiter] = RunVar("loom_chroma_thread")

    @classmethod
    def local(cls, directory: str) -> Chroma:
        """Chroma in a directory. Raises MissingPackage without chromadb."""
        require("chromadb", extra="chroma")
        return cls(opened=lambda: opened(directory))

    @classmethod
    def ephemeral(cls) -> Chroma:
        """A Chroma of its own in this process, which ends when it is closed. Raises MissingPackage without chromadb."""
        require("chromadb", extra="chroma")
        return cls(opened=_ephemeral)

    async def read(self, work: Callable[[Any], T]) -> T:
        return await anyio.to_thread.run_sync(self._done, work, limiter=self._limiter())

    async def write(self, work: Callable[[Any], T]) -> T:
        """Read and write while no other writer of this process does: several memories may lie in one place."""

        def alone(client: Any) -> T:
            with _WRITING:
                return work(client)

        return await self.read(alone)

    async def aclose(self) -> None:
        if self._opened is not None:
            await anyio.to_thread.run_sync(self._close, limiter=self._limiter())

    def _done(self, work: Callable[[Any], T]) -> T:
        import httpx  # chromadb speaks with its server by it
        from chromadb.errors import ChromaError

        with self._turn:
            try:
                if self._client is None and self._opened is not None:
                    with OPENING:
                        self._client = self._opened()
                return work(self._client)
            except (ChromaError, httpx.HTTPError, ValueError, OSError) as error:
                raise MemoryStoreError(f"Chroma cannot be used: {error}") from error

    def _close(self) -> None:
        with self._turn:
            client, self._client = self._client, None
            if client is not None:
                with OPENING:
                    _end(client)

    def _limiter(self) -> anyio.CapacityLimiter:
        # One thread of an event loop is ours, so that tools which block all the others cannot hold up memory.
        limiter = self._thread.get(None)
        if limiter is None:
            limiter = anyio.CapacityLimiter(1)
            self._thread.set(limiter)
        return limiter


def _ephemeral() -> Any:
    """A client with a database of its own: all that is ephemeral in a process lies in one Chroma."""
    from chromadb.api.client import AdminClient

    name = new_id("loom")
    first = opened()
    AdminClient.from_system(first._system).create_database(name)
    client = opened(database=name)
    first.close()
    return client


def _end(client: Any) -> None:
    from chromadb.api.client import AdminClient

    if not client._system.settings.is_persistent:
        AdminClient.from_system(client._system).delete_database(client.database)
    client.close()
