"""The side of a measurement that runs inside of a framework's own interpreter.

Reads `{"scenario": …, "seconds": …}` a line from stdin, runs the scenario for about so long, and answers with the
seconds that one operation took. Needs nothing but the standard library.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping

Scenario = Callable[[float], Awaitable[float]]

PROMPT = "Tell me how the weather is in Paris today"
ANSWER = "It is sunny in Paris and the temperature is twenty degrees"
INSTRUCTIONS = "You are a helpful assistant. Answer briefly."
CONCURRENT = 1000
CHAIN = 10
STEPS = 10
_WORDS = (
    "invoice", "weather", "Paris", "order", "refund", "meeting", "ticket", "travel", "budget", "report", "server",
    "password", "colleague", "delivery", "contract", "holiday", "picture", "lecture", "garden", "kitchen", "network",
    "harbor", "engine", "market", "bridge", "letter",
)  # fmt: skip


def prompt(number: int) -> str:
    """A prompt that shares words with others, as those of one user do."""
    picked = [_WORDS[(number * step + step) % len(_WORDS)] for step in (1, 3, 7, 11, 13)]
    return f"Question {number}: what about the {' and the '.join(picked)}?"


async def repeat(operation: Callable[[], Awaitable[object]], seconds: float, *, at_least: int = 3) -> float:
    """Seconds per operation, over so many as fit into the time."""
    for _ in range(at_least):
        await operation()
    count, began = 0, time.perf_counter()
    while True:
        for _ in range(at_least):
            await operation()
        count += at_least
        took = time.perf_counter() - began
        if took >= seconds:
            return took / count


def repeat_sync(operation: Callable[[], object], seconds: float, *, at_least: int = 20) -> float:
    for _ in range(at_least):
        operation()
    count, began = 0, time.perf_counter()
    while True:
        for _ in range(at_least):
            operation()
        count += at_least
        took = time.perf_counter() - began
        if took >= seconds:
            return took / count


async def all_at_once(operation: Callable[[], Awaitable[object]], seconds: float) -> float:
    """Seconds per operation when a thousand are started together."""
    rounds = max(1, round(seconds / 0.3))
    began = time.perf_counter()
    for _ in range(rounds):
        await asyncio.gather(*(operation() for _ in range(CONCURRENT)))
    return (time.perf_counter() - began) / (CONCURRENT * rounds)


Ask = Callable[[str], Awaitable[str]]


def scenarios_of(
    *, construct: Callable[[], object], agent: Callable[[int], Ask], over_http: Callable[[], Ask]
) -> dict[str, Scenario]:
    """The scenarios of a framework that can make an agent.

    `agent(0)` echoes its prompt; `agent(n)` calls the tool n times in its first turn and says ANSWER in its second.
    """

    async def make(seconds: float) -> float:
        return repeat_sync(construct, seconds)

    def runs(calls: int, measure: Callable[..., Awaitable[float]] = repeat) -> Scenario:
        async def scenario(seconds: float) -> float:
            return await _checked(agent(calls), ANSWER if calls else PROMPT, seconds, measure)

        return scenario

    async def http(seconds: float) -> float:
        return await _checked(over_http(), ANSWER, seconds, repeat)

    async def chain(seconds: float) -> float:
        asks = [agent(0) for _ in range(CHAIN)]

        async def ten() -> str:
            text = PROMPT
            for ask in asks:
                text = await ask(text)
            return text

        return await repeat(ten, seconds, at_least=1)

    return {
        "construct": make,
        "bare": runs(0),
        "tool": runs(1),
        "tools_8": runs(8),
        "concurrent": runs(0, all_at_once),
        "chain": chain,
        "http": http,
    }


async def _checked(ask: Ask, expected: str, seconds: float, measure: Callable[..., Awaitable[float]]) -> float:
    """Measure, once it is known that the framework does what is measured."""
    said = await ask(PROMPT)
    if expected not in said:
        raise RuntimeError(f"{expected!r} was expected, not {said!r}")
    return await measure(lambda: ask(PROMPT), seconds)


def serve(scenarios: Mapping[str, Scenario]) -> None:
    """Answer questions until stdin ends. What the framework prints goes to stderr."""
    answers, sys.stdout = sys.stdout, sys.stderr

    async def main() -> None:
        print(json.dumps({"scenarios": sorted(scenarios)}), file=answers, flush=True)
        for line in sys.stdin:
            asked = json.loads(line)
            try:
                answer = {"seconds": await scenarios[asked["scenario"]](asked["seconds"])}
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"[:300]}
            print(json.dumps(answer), file=answers, flush=True)

    asyncio.run(main())
