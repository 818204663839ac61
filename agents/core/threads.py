"""Where functions that are not async run: in a thread, in one's own, or in that of the transaction they belong to."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import current_token

from loom.events import Record

T = TypeVar("T")
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

    async def do(self, work: Callable[[], T]) -> T:
        done, post = anyio.Event(), poster()
        value: T
        failure: BaseException | None = None

        def do() -> None:
            nonlocal value, failure
            try:
                value = work()
            except BaseException as error:
                failure = error
            with suppress(RuntimeError):  # the loop has ended
                post(done.set)

        self._work.put(do)
        await done.wait()
        if failure is not None:
            raise failure
        return value


def _work_off(queue: SimpleQueue[Callable[[], None] | None]) -> None:
    while (work := queue.get()) is not None:
        work()


def poster() -> Callable[..., object]:
    """How another thread tells the running event loop, asyncio's or trio's, to call a function, without waiting."""
    loop: Any = current_token().native_token
    post: Callable[..., object] = getattr(loop, "call_soon_threadsafe", None) or loop.run_sync_soon
    return post


@contextmanager
def within(transaction: Transaction) -> Iterator[None]:
    """Have the functions that are called from here run in this transaction."""
    token = _within.set(transaction.call)
    try:
        yield
    finally:
        _within.reset(token)
