"""A program with a deadline."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from agents.core.runtime import engine
from agents.core.runtime.deadline import WithinDeadline
from agents.core.runtime.engine import Answer
from loom.errors import DeadlineExceeded


class Slow:
    """Sleeps for so long, and notes what became of it."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.became = seconds, "nothing"

    async def answer(self, input: Any, ambient: Any, *, output_schema: Any = None) -> Answer:
        self.became = "cut off"
        await anyio.sleep(self.seconds)
        self.became = "done"
        return Answer("done")


async def test_what_takes_too_long_is_cut_off() -> None:
    program = Slow(3600)

    with pytest.raises(DeadlineExceeded):
        await WithinDeadline(program, 0.01).answer("", None)

    assert program.became == "cut off"


async def test_what_is_done_in_time_gives_its_answer() -> None:
    assert await WithinDeadline(Slow(0), 3600).answer("", None) == Answer("done")


@pytest.mark.parametrize("seconds", [0, -5])
async def test_what_comes_too_late_does_not_begin(seconds: float) -> None:
    program = Slow(0)

    with pytest.raises(DeadlineExceeded):
        await WithinDeadline(program, seconds).answer("", None)

    assert program.became == "nothing"


async def test_a_timeout_of_the_programs_own_is_not_its_deadline() -> None:
    class Impatient:
        async def answer(self, input: Any, ambient: Any, *, output_schema: Any = None) -> Answer:
            with anyio.fail_after(0.01):
                await anyio.sleep(3600)
            raise AssertionError

    with pytest.raises(TimeoutError):
        await WithinDeadline(Impatient(), 3600).answer("", None)


def test_clients_see_what_it_was() -> None:
    assert engine.describe(DeadlineExceeded())["code"] == "deadline_exceeded"
