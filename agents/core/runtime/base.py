"""What the loop needs in order to survive: a place where finished steps are remembered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import anyio


class RuntimeSession(Protocol):
    """One run on a runtime. A session of a durable runtime also has `step` and `stream_step`."""

    id: str

    async def deliver(self, name: str, payload: Any) -> None: ...


class Steps(Protocol):
    """Where the steps of one run are taken: a runtime, or its session of the run."""

    async def step(
        self,
        name: str,
        fn: Callable[..., Awaitable[Any]],
        *args: Any,
        idempotency_key: str | None = None,
        **kwargs: Any,
    ) -> Any: ...

    def stream_step(
        self, name: str, fn: Callable[..., AsyncIterator[Any]], *args: Any, **kwargs: Any
    ) -> AsyncIterator[Any]: ...


@runtime_checkable
class Runtime(Steps, Protocol):
    """Runs named steps. A durable one remembers each result and gives it back when the run is replayed.

    Names are structural paths, such as `turn:3/tool:call_2`, so that parallel branches replay in any order.
    """

    name: str

    def session(self, session_id: str) -> AbstractAsyncContextManager[RuntimeSession]: ...

    async def signal(self, session_id: str, name: str, payload: Any) -> None: ...


def key_of(steps: Any, name: str) -> str | None:
    """The idempotency key under which a step has begun before, be it in a run that this one goes on with."""
    begun: Callable[[str], str | None] | None = getattr(steps, "idempotency_key", None)
    return None if begun is None else begun(name)


class Signals:
    """What has been said to a session from outside, in its order.

    Each `wait` for a name takes the next payload, so a replay that waits as before is told as before.
    """

    def __init__(self, delivered: Iterable[tuple[str, Any]] = ()) -> None:
        self._payloads: dict[str, list[Any]] = defaultdict(list)
        self._taken: dict[str, int] = defaultdict(int)
        self._news: anyio.Event | None = None  # while somebody waits
        for name, payload in delivered:
            self._payloads[name].append(payload)

    def add(self, name: str, payload: Any) -> None:
        self._payloads[name].append(payload)
        if self._news is not None:
            self._news.set()
            self._news = None

    def all(self, name: str) -> list[Any]:
        """Every payload of this name, taken or not."""
        return list(self._payloads.get(name, ()))

    async def wait(self, name: str) -> Any:
        """The next payload of this name that nobody has taken."""
        while len(self._payloads.get(name, ())) <= self._taken[name]:
            self._news = self._news or anyio.Event()
            await self._news.wait()
        self._taken[name] += 1
        return self._payloads[name][self._taken[name] - 1]


@dataclass
class InProcSession:
    """A run that lives and dies with this process."""

    id: str
    signals: Signals = field(default_factory=Signals)

    async def deliver(self, name: str, payload: Any) -> None:
        self.signals.add(name, payload)


class InProcRuntime:
    """Runs each step at once and remembers nothing. The loop knows it and skips it."""

    name = "inproc"

    def __init__(self) -> None:
        self._sessions: dict[str, InProcSession] = {}

    async def step(
        self,
        name: str,
        fn: Callable[..., Awaitable[Any]],
        *args: Any,
        idempotency_key: str | None = None,
        **kwargs: Any,
    ) -> Any:
        return await fn(*args, **kwargs)

    async def stream_step(
        self, name: str, fn: Callable[..., AsyncIterator[Any]], *args: Any, **kwargs: Any
    ) -> AsyncIterator[Any]:
        async for item in fn(*args, **kwargs):
            yield item

    @asynccontextmanager
    async def session(self, session_id: str) -> AsyncIterator[InProcSession]:
        session = self._sessions.setdefault(session_id, InProcSession(session_id))
        try:
            yield session
        finally:
            self._sessions.pop(session_id, None)

    async def signal(self, session_id: str, name: str, payload: Any) -> None:
        session = self._sessions.get(session_id)
        if session is not None:
            await session.deliver(name, payload)
