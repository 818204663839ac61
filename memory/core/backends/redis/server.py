"""The server: what is read together is one state of it, what is written together is one step."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from loom.errors import ConfigError, MemoryStoreError
from memory.core.backends.location import shown
from memory.core.dropped import close_when_dropped

T = TypeVar("T")
Command = Sequence[Any]

DEFAULT_URL = "redis://localhost:6379/0"
_CONNECT_SECONDS = 10
_ANSWER_SECONDS = 60


class RedisServer:
    """A Redis or Valkey, reached by a client of `redis.asyncio`, which belongs to one event loop.

    A client that is given is its giver's to close.
    """

    def __init__(self, client: Any, *, url: str | None = None) -> None:
        self._client, self._url = client, url

    @classmethod
    async def reached(cls, url: str) -> RedisServer:
        """The server at a URL, when it answers. Raises ConfigError for what is no URL, else MemoryStoreError."""
        from redis.asyncio import Redis

        try:
            client = Redis.from_url(url, socket_connect_timeout=_CONNECT_SECONDS, socket_timeout=_ANSWER_SECONDS)
        except ValueError as error:
            raise ConfigError(f"{shown(url)!r} is no URL of a Redis: {error}; write redis://host:6379/0") from error
        server = cls(client, url=url)
        close_when_dropped(server, client.aclose)
        try:
            await server.ask(("PING",))
        except BaseException:
            await server.aclose()
            raise
        return server

    async def ask(self, *commands: Command) -> list[Any]:
        """The answers to several commands about one state of the server, as texts. Raises MemoryStoreError."""
        return [_text(answer) for answer in await self._pipelined(commands, transaction=True)]

    async def bytes_of(self, *commands: Command) -> list[Any]:
        """The answers as they are stored, whatever the client decodes others to."""
        from redis.client import NEVER_DECODE

        return await self._pipelined(commands, transaction=False, **{NEVER_DECODE: True})

    async def change(self, *watched: str, plan: Callable[[], Awaitable[tuple[T, Sequence[Command]]]]) -> T:
        """Carry out all commands of a plan or none, and give its result back.

        It is planned anew when somebody else changed a watched key meanwhile. Raises MemoryStoreError.
        """
        from redis.exceptions import WatchError

        while True:
            async with self._usable() as client, client.pipeline(transaction=True) as pipe:
                await pipe.watch(*watched)
                result, commands = await plan()
                pipe.multi()
                for command in commands:
                    pipe.execute_command(*command)
                try:
                    await pipe.execute()
                except WatchError as error:
                    if error.__context__ is None:
                        continue
                    # redis-py says the same when the connection broke: then it may have been carried out.
                    raise MemoryStoreError(f"{self} was lost while it was written to: {error.__context__}") from error
                return result

    async def aclose(self) -> None:
        """Close the connections when they are its own. The next use opens others."""
        if self._url is not None:
            await self._client.aclose()

    def __str__(self) -> str:
        return "the Redis server" if self._url is None else f"the Redis server {shown(self._url)}"

    async def _pipelined(self, commands: Sequence[Command], *, transaction: bool, **options: Any) -> list[Any]:
        if not commands:
            return []
        async with self._usable() as client, client.pipeline(transaction=transaction) as pipe:
            for command in commands:
                pipe.execute_command(*command, **options)
            return list(await pipe.execute())

    @asynccontextmanager
    async def _usable(self) -> AsyncIterator[Any]:
        from redis.exceptions import RedisError

        try:
            yield self._client
        except (RedisError, OSError) as error:
            raise MemoryStoreError(f"{self} cannot be used: {error}") from error


def _text(answer: Any) -> Any:
    if isinstance(answer, bytes):
        return answer.decode()
    return [_text(each) for each in answer] if isinstance(answer, list) else answer
