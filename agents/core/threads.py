"""Where functions that are not async run: in a thread, or in the thread of the transaction they belong to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import anyio.to_thread

from loom.events import Record

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


@contextmanager
def within(transaction: Transaction) -> Iterator[None]:
    """Have the functions that are called from here run in this transaction."""
    token = _within.set(transaction.call)
    try:
        yield
    finally:
        _within.reset(token)
