"""A thread of one's own."""

from __future__ import annotations

import gc
import threading
import time

import anyio
import pytest

from agents.core.concurrency import together
from agents.core.threads import OwnThread


async def test_work_is_done_in_its_order_on_one_thread() -> None:
    thread, done = OwnThread("mine"), list[tuple[int, str]]()

    def work(number: int) -> int:
        done.append((number, threading.current_thread().name))
        return number * 2

    results = await together([lambda n=n: thread.do(lambda: work(n)) for n in range(5)])  # type: ignore[misc]

    assert results == [0, 2, 4, 6, 8]
    assert done == [(number, "mine") for number in range(5)]


async def test_what_work_raises_is_raised_and_the_thread_goes_on() -> None:
    thread = OwnThread("mine")

    with pytest.raises(ZeroDivisionError):
        await thread.do(lambda: 1 / 0)
    assert await thread.do(lambda: 1) == 1


async def test_work_that_nobody_waits_for_any_longer_is_done_all_the_same() -> None:
    thread, may_go_on, done = OwnThread("mine"), threading.Event(), list[int]()

    def work() -> None:
        may_go_on.wait(30)
        done.append(1)

    with anyio.move_on_after(0.01):
        await thread.do(work)
    may_go_on.set()
    await thread.do(lambda: None)

    assert done == [1]


async def test_the_thread_ends_when_nobody_has_it_any_more() -> None:
    thread = OwnThread("dropped")
    await thread.do(lambda: None)
    del thread
    gc.collect()

    until = time.monotonic() + 30
    while any(one.name == "dropped" for one in threading.enumerate()):
        assert time.monotonic() < until
        await anyio.sleep(0.01)


def test_event_loops_one_after_the_other_are_served_by_the_same_thread() -> None:
    thread = OwnThread("mine")

    async def which() -> int | None:
        return await thread.do(lambda: threading.current_thread().ident)

    assert anyio.run(which) == anyio.run(which)
