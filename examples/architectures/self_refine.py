"""Self-Refine: the model criticizes its own draft and improves it until it has nothing left to say.

$ python examples/architectures/self_refine.py
round 1: It says nothing about the price.
round 2: no issues
A quiet kettle for 29 euros.
"""

import asyncio
import os
import sys

from loom import Agent, EventKind, ScriptedModel, ScriptedTurn

MODEL = os.environ.get("LOOM_MODEL")
SCRIPT = [
    ScriptedTurn("A quiet kettle."),
    ScriptedTurn("It says nothing about the price."),
    ScriptedTurn("A quiet kettle for 29 euros."),
    ScriptedTurn("no issues"),
]


async def main(model: str | None = MODEL) -> str:
    agent = Agent("Write product lines.", model=model or ScriptedModel(SCRIPT), architecture="self-refine")
    output = ""
    async for event in agent.stream("A line for our kettle (29 euros)."):
        if event.payload.get("name") == "self_refine.critique":
            print(f"round {event.payload['round']}: {event.payload['critique']}")
        if event.kind is EventKind.COMPLETED:
            output = event.payload["result"]["output"]
    print(output)
    return output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
