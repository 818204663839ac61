"""Several things at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio
from anyio.lowlevel import checkpoint

from agents.core.runtime.suspended import Suspended

T = TypeVar("T")


async def together(work: Sequence[Callable[[], Awaitable[T]]], *, limit: int | None = None) -> list[T]:
    """The results of all, in their order; at most `limit` run at a time.

    The first failure cancels the others and is raised as itself, not as a group of one. Where one must wait for
    something outside, the others come to their end first; then all that wait are raised as one `Suspended`.
    """
    results: dict[int, T] = {}
    waits: list[Suspended] = []
    left = deque(enumerate(work))

    async def run() -> None:
        while left:
            place, one = left.popleft()
            try:
                results[place] = await one()
            except Suspended as wait:
                waits.append(wait)

    try:
        async with anyio.create_task_group() as group:
            for _ in range(limit or len(work)):
                if not left:  # what does not have to wait is done by one task
                    break
                group.start_soon(run)
                await checkpoint()
    except BaseExceptionGroup as failures:
        raise first_of(failures) from None
    if waits:
        raise Suspended.of(waits)
    return [results[place] for place in range(len(work))]


def first_of(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first failure in a group, however deep it lies."""
    first: BaseException = failures
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
