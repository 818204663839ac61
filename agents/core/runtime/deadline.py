"""A program with a deadline."""

from __future__ import annotations

from typing import Any

import anyio

from agents.core.ambient import Ambient
from agents.core.runtime.engine import Answer, Program
from loom.errors import DeadlineExceeded


class WithinDeadline:
    """Any program, which fails with `DeadlineExceeded` when its seconds are over.

    Only the program is cut off, never the writing of what it came to: a run does not end twice.
    """

    def __init__(self, program: Program, seconds: float) -> None:
        self._program, self._seconds = program, seconds

    async def answer(self, input: Any, ambient: Ambient, *, output_schema: Any = None) -> Answer:
        if self._seconds <= 0:
            raise DeadlineExceeded
        with anyio.move_on_after(self._seconds):
            return await self._program.answer(input, ambient, output_schema=output_schema)
        raise DeadlineExceeded
