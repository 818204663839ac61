"""Reflexion: a failed attempt leaves a lesson, and the next one begins with it.

$ python examples/architectures/reflexion.py
attempt 1: 0.3
lesson: Give the unit with every number.
attempt 2: 0.9
The tower is 330 meters high.
"""

import asyncio
import os
import sys

from loom import Agent, EventKind, ScriptedModel, ScriptedTurn
from loom.architecture import Reflexion

MODEL = os.environ.get("LOOM_MODEL")
SCRIPT = [
    ScriptedTurn("The tower is 330 high."),
    ScriptedTurn("There is no unit.\nscore: 0.3"),
    ScriptedTurn("Give the unit with every number."),
    ScriptedTurn("The tower is 330 meters high."),
    ScriptedTurn("Right and complete.\nscore: 0.9"),
]


async def main(model: str | None = MODEL) -> str:
    # architecture="reflexion" is the same with a threshold of 0.8.
    agent = Agent(
        "You know buildings.",
        model=model or ScriptedModel(SCRIPT),
        architecture=Reflexion(max_attempts=3, threshold=0.85),
    )
    output = ""
    async for event in agent.stream("How high is the Eiffel tower?", user_id="ann"):
        if event.payload.get("name") == "reflexion.evaluated":
            print(f"attempt {event.payload['attempt']}: {event.payload['score']}")
        if event.payload.get("name") == "reflexion.lesson_produced":
            print(f"lesson: {event.payload['lesson']}")
        if event.kind is EventKind.COMPLETED:
            output = event.payload["result"]["output"]
    print(output)
    return output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
