"""What every durable framework is asked to do. Nothing but the standard library."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

RUNS, STEPS = 100, 20


async def per_step(run: Callable[[], Awaitable[object]], runs: int, seconds: float) -> float:
    """Seconds per step, with so many runs of STEPS steps at once, for about that long."""
    await run()
    took, steps = 0.0, 0
    while took < seconds:
        began = time.perf_counter()
        await asyncio.gather(*(run() for _ in range(runs)))
        took += time.perf_counter() - began
        steps += runs * STEPS
    return took / steps


class Talk:
    """A conversation with one tool call in each turn: what is said in it, and how much of that is said once."""

    def __init__(self, turns: int) -> None:
        self.turns = turns
        self.prompt = "Find everything that was said of the harbor. " * 4
        self.said = "I look for the next part of it, since what was found so far does not say how deep it is. " * 2
        self.answer = "It was said of the harbor that it is deep. " * 8

    def args(self, turn: int) -> dict[str, Any]:
        return {"query": f"depth of the harbor in the year {1900 + turn}", "page": turn}

    def found(self, turn: int) -> str:
        return f"Page {turn}: " + "the harbor is as deep as it was before, and ships of all sizes go in. " * 10

    @property
    def unique(self) -> int:
        each = [len(self.said) + len(json.dumps(self.args(n))) + len(self.found(n)) for n in range(self.turns)]
        return len(self.prompt) + len(self.answer) + sum(each)
