"""ReWOO: two model calls, and between them all tools, those that do not need each other at the same time.

$ python examples/architectures/rewoo.py
level 1: E1, E2
level 2: E3
Oslo and Bergen together: 1,009,650 people. (2 model calls)
"""

import asyncio
import json
import os
import sys

from loom import Agent, EventKind, ScriptedModel, ScriptedTurn, tool

MODEL = os.environ.get("LOOM_MODEL")
PLAN = [
    {"id": "E1", "tool": "population", "args": {"city": "Oslo"}},
    {"id": "E2", "tool": "population", "args": {"city": "Bergen"}},
    {"id": "E3", "tool": "add", "args": {"a": "{{E1}}", "b": "{{E2}}"}},
]
SCRIPT = [ScriptedTurn(json.dumps(PLAN)), ScriptedTurn("Oslo and Bergen together: 1,009,650 people.")]


@tool
async def population(city: str) -> int:
    """How many people live in a city."""
    return {"Oslo": 717_710, "Bergen": 291_940}[city]


@tool
async def add(a: int, b: int) -> int:
    """a and b."""
    return a + b


async def main(model: str | None = MODEL) -> str:
    agent = Agent(
        "Compare cities.", model=model or ScriptedModel(SCRIPT), tools=[population, add], architecture="rewoo"
    )
    output, turns = "", 0
    async for event in agent.stream("How many people live in Oslo and Bergen?"):
        said = event.payload
        if said.get("name") == "rewoo.level_started":
            print(f"level {said['level']}: {', '.join(said['steps'])}")
        if event.kind is EventKind.COMPLETED:
            output, turns = said["result"]["output"], said["result"]["turns"]
    print(f"{output} ({turns} model calls)")
    return output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
