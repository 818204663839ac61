"""A task that outlives the block that started it.

Structured concurrency has no such thing, on purpose, and everything else here uses task groups. Two places need it. The
body of an async generator is suspended at `yield`, may be closed from another task, and a task group held open across
that would cancel whoever happens to close it. And one writer serves the journals of many runs, and belongs to none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, Protocol

import anyio


class Background(Protocol):
    async def stop(self) -> None:
        """Cancel the work, unless it has ended, and wait until it has."""
        ...


class _Handle:
    def __init__(self, scope: anyio.CancelScope, done: anyio.Event) -> None:
        self._scope, self._done = scope, done

    async def stop(self) -> None:
        self._scope.cancel()
        with anyio.CancelScope(shield=True):
            await self._done.wait()


_running: set[object] = set()  # asyncio keeps only weak references to its tasks


def start(work: Callable[[], Awaitable[None]]) -> Background:
    """Start the work in a task of its own, with a copy of the current context. It must handle its own exceptions."""
    scope, done = anyio.CancelScope(), anyio.Event()

    async def run() -> None:
        try:
            with scope:
                await work()
        finally:
            done.set()

    spawn(run)
    return _Handle(scope, done)


def spawn(work: Callable[[], Coroutine[Any, Any, None]], context: Context | None = None) -> None:
    """The same for work that nobody will stop; in another context where one is given."""
    context = copy_context() if context is None else context
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        import trio

        trio.lowlevel.spawn_system_task(work, context=context)
    else:
        task = loop.create_task(work(), context=context)
        _running.add(task)
        task.add_done_callback(_running.discard)


def later(seconds: float, call: Callable[[], object]) -> None:
    """Call a function on this event loop after a while, if the loop is still there; in a context of its own."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        import trio

        trio.lowlevel.spawn_system_task(_call_after, seconds, call, context=Context())
    else:
        loop.call_later(seconds, call, context=Context())


def this_loop() -> Any:
    """The running event loop, asyncio's or trio's: what anyio calls its token, in a fraction of the time."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        import trio

        return trio.lowlevel.current_trio_token()


def is_own_cancellation(error: BaseException) -> bool:
    """Whether the error cancels the running task of asyncio, and not only one that code of the user has waited for."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:  # trio's tasks hear of their cancellation in another way
        return False
    return task is None or task.cancelling() > 0


async def _call_after(seconds: float, call: Callable[[], object]) -> None:
    await anyio.sleep(seconds)
    call()
