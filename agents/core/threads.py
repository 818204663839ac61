"""Where functions that are not async run: in a thread, in one's own, or in that of the transaction they belong to."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

import anyio
import anyio.to_thread

from loom.background import this_loop
from loom.events import Record

T = TypeVar("T")
Done = Callable[[T | None, BaseException | None], object]  # what work came to: a value, or why there is none
InThread = Callable[[Callable[[], Any]], Awaitable[Any]]

_within: ContextVar[InThread | None] = ContextVar("loom_transaction", default=None)


class Transaction(Protocol):
    """A step's effect in our database and the record of it: both are committed, or neither."""

    async def call(self, function: Callable[[], Any]) -> Any:
        """Call a function within the transaction. What it has done is undone when it raises."""
        ...

    async def commit(self, record: Record) -> None:
        """Write the record and commit. Raises what the journal raises when it refuses a write."""
        ...


async def in_thread(function: Callable[[], Any]) -> Any:
    """Call a function in a thread that a cancellation does not wait for."""
    call = _within.get()
    if call is not None:
        return await call(function)
    return await anyio.to_thread.run_sync(function, abandon_on_cancel=True)


class OwnThread:
    """A thread that does one thing after the other, for whatever event loop asks. It ends when nobody has it any more.

    Handing work to it and hearing of its end takes a third of what anyio takes to find a thread. Work that is not
    waited for any longer is done all the same.
    """

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=_work_off, args=(self._work,), name=name, daemon=True).start()
        weakref.finalize(self, self._work.put, None)

    def hand(self, work: Callable[[], T], done: Done[T]) -> None:
        """Have work done; the running event loop then calls `done` with what it came to."""
        post = poster()

        def do() -> None:
            value, failure = outcome_of(work)
            with suppress(RuntimeError):  # the loop has ended
                post(done, value, failure)

        self._work.put(do)

    async def do(self, work: Callable[[], T]) -> T:
        came_to: list[Any] = []
        done = anyio.Event()

        def hear(value: T | None, failure: BaseException | None) -> None:
            came_to[:] = value, failure
            done.set()

        self.hand(work, hear)
        await done.wait()
        value, failure = came_to
        if failure is not None:
            raise failure
        found: T = value
        return found


def outcome_of(work: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    """What work comes to, whatever it raises."""
    try:
        return work(), None
    except BaseException as error:
        return None, error


def _work_off(queue: SimpleQueue[Callable[[], None] | None]) -> None:
    while (work := queue.get()) is not None:
        work()


def poster() -> Callable[..., object]:
    """How another thread tells the running event loop to call a function, without waiting."""
    loop = this_loop()
    post: Callable[..., object] = getattr(loop, "call_soon_threadsafe", None) or loop.run_sync_soon
    return post


def is_alone() -> bool:
    """Whether the running task is the only one of its event loop: while it blocks, it holds up nobody.

    It looks at every task that there is.
    """
    try:
        return len(asyncio.all_tasks()) == 1
    except RuntimeError:  # trio's tasks cannot be counted
        return False


@contextmanager
def within(transaction: Transaction) -> Iterator[None]:
    """Have the functions that are called from here run in this transaction."""
    token = _within.set(transaction.call)
    try:
        yield
    finally:
        _within.reset(token)
