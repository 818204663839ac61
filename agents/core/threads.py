"""Where functions that are not async run: in a thread, or in the thread of the transaction they belong to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar
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


async def outcome(future: Future[T]) -> T:
    """What a thread of one's own comes to. It takes half as long as having anyio find one."""
    done, post = anyio.Event(), poster()

    def tell(_: object) -> None:
        with suppress(RuntimeError):  # the loop has ended
            post(done.set)

    future.add_done_callback(tell)
    await done.wait()
    return future.result()


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
