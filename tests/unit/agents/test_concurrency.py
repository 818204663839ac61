"""Several things at the same time."""

from __future__ import annotations

from functools import partial

import anyio
import pytest

from agents.core.concurrency import together


async def at_once(number: int) -> int:
    return number


async def test_results_come_in_the_order_of_the_work_whoever_is_first() -> None:
    first = anyio.Event()

    async def last_is_first(number: int) -> int:
        if number == 3:
            first.set()
        await first.wait()
        return number

    assert await together([partial(last_is_first, number) for number in (1, 2, 3)]) == [1, 2, 3]
    assert await together([partial(at_once, number) for number in (1, 2, 3)]) == [1, 2, 3]
    assert await together([]) == []


async def test_what_does_not_wait_is_done_beside_what_does() -> None:
    done: list[str] = []

    async def waits() -> None:
        while len(done) < 2:
            await anyio.sleep(0)

    async def does(name: str) -> None:
        done.append(name)

    with anyio.fail_after(5):
        await together([waits, partial(does, "a"), waits, partial(does, "b")])

    assert done == ["a", "b"]


async def test_no_more_than_the_limit_is_under_way() -> None:
    under_way, most = 0, 0

    async def work() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await anyio.sleep(0)
        under_way -= 1

    await together([work] * 10, limit=3)

    assert most == 3


async def test_the_first_failure_cancels_what_waits_and_is_raised_as_itself() -> None:
    ended: list[str] = []

    async def waits() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("cancelled")

    async def fails() -> None:
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        await together([waits, fails])

    assert ended == ["cancelled"]
