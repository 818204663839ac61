"""Tree of Thoughts: propose several next thoughts, score them, go on from the best.

$ python examples/architectures/tree_of_thoughts.py
depth 1: thoughts 0 and 1, scores 0.9 and 0.2
depth 2: thoughts 0.0 and 0.1, scores 1.0 and 0.4
(8 - 4) * 6 = 24
"""

import asyncio
import os
import sys
from collections.abc import Callable

from loom import Agent, EventKind, Message, ScriptedModel, ScriptedTurn
from loom.architecture import TreeOfThoughts

MODEL = os.environ.get("LOOM_MODEL")
SCORES = {"(8 - 4) first": 0.9, "6 + 6 first": 0.2, "(8 - 4) * 6 = 24": 1.0, "(8 - 4) + 6 = 10": 0.4}


def script() -> ScriptedModel:
    """Thoughts come in this order; a score belongs to the thought that is asked about."""
    thoughts = iter(SCORES)

    def propose(_: list[Message]) -> ScriptedTurn:
        return ScriptedTurn(next(thoughts))

    def score(messages: list[Message]) -> ScriptedTurn:
        asked = messages[-1].content
        last = max(SCORES, key=asked.rfind)
        return ScriptedTurn(f"score: {SCORES[last]}")

    level: list[Callable[[list[Message]], ScriptedTurn]] = [propose, propose, score, score]
    return ScriptedModel(level * 2)


async def main(model: str | None = MODEL) -> str:
    agent = Agent(
        "Reach 24 with 4, 6 and 8.",
        model=model or script(),
        architecture=TreeOfThoughts(branch_factor=2, max_depth=2, beam_width=1, min_score=0.5),
    )
    output = ""
    async for event in agent.stream("Go."):
        if event.payload.get("name") == "tot.evaluated":
            scores = event.payload["scores"]
            found = " and ".join(scores), " and ".join(map(str, scores.values()))
            print(f"depth {event.payload['depth']}: thoughts {found[0]}, scores {found[1]}")
        if event.kind is EventKind.COMPLETED:
            output = event.payload["result"]["output"]
    print(output)
    return output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
