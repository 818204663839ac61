"""The thread on which MCP connections live.

An MCP connection is a nest of task groups: it must be closed by the task that opened it. The task that first needs one
is a tool call, which ends long before the connection should. So connections are opened, kept and closed by tasks of one
background event loop per process, and everybody else calls into it.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream, TaskStatus
from anyio.from_thread import BlockingPortal, start_blocking_portal

P = ParamSpec("P")
T = TypeVar("T")
Start = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Owner:
    """The background event loop."""

    portal: BlockingPortal
    starts: ObjectSendStream[Start]
    postponed: deque[Callable[[], object]] = field(default_factory=deque)

    async def call(self, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` on the owner's loop and wait for it. Cancelling the caller cancels `fn`."""

        async def run() -> T:
            while self.postponed:
                self.postponed.popleft()()
            return await fn(*args, **kwargs)

        return await self.portal.call_async(run)

    def later(self, fn: Callable[[], object]) -> None:
        """Let `fn` run on the owner's loop before the next call. Safe in any thread, also during garbage collection."""
        self.postponed.append(fn)

    async def start(self, task: Start) -> None:
        """Start a task that lives until it ends by itself. Only to be called on the owner's loop."""
        await self.starts.send(task)


_current: Owner | None = None
_closing = ExitStack()
_lock = threading.Lock()
_of_parents: list[ExitStack] = []


def owner() -> Owner:
    """The owner of this process, started on first use."""
    global _current
    with _lock:
        if _current is None:
            _current = _start()
        return _current


def _start() -> Owner:
    portal = _closing.enter_context(start_blocking_portal(backend="asyncio", name="loom-mcp"))
    tasks, starts = portal.start_task(_keep)
    _closing.callback(tasks.cancel)  # closes what nobody closed, before the loop is stopped
    return Owner(portal, starts)


async def _keep(*, task_status: TaskStatus[ObjectSendStream[Start]]) -> None:
    starts, requests = anyio.create_memory_object_stream[Start](100)
    async with starts, requests, anyio.create_task_group() as tasks:
        task_status.started(starts)
        await _start_each(requests, tasks.start_soon)


async def _start_each(requests: ObjectReceiveStream[Start], start_soon: Callable[[Start], object]) -> None:
    # Started from here, and not where it is asked for, a task does not inherit the context of one run for ever.
    async for task in requests:
        start_soon(task)


def _forget() -> None:
    # The thread does not exist in a forked child, and stopping it is the parent's business. What would stop it is kept:
    # to collect it would mean to run it, and to wait for the thread for ever.
    global _current, _closing, _lock
    _of_parents.append(_closing)
    _current, _closing, _lock = None, ExitStack(), threading.Lock()


@atexit.register
def _stop() -> None:
    _closing.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
