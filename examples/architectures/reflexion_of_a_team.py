"""Strategies wrap each other: a supervisor with its workers, tried again with a lesson when the result is poor.

$ python examples/architectures/reflexion_of_a_team.py
attempt 1: 0.5
attempt 2: 0.9
Boils in 90 seconds, says the lab.
lesson kept: Let the researcher name the source.
"""

import asyncio
import os
import sys

from loom import Agent, InMemoryMemory, ScriptedModel, ScriptedTurn, ToolCall
from loom.architecture import Reflexion, Supervisor

MODEL = os.environ.get("LOOM_MODEL")


def delegate(worker: str) -> ScriptedTurn:
    return ScriptedTurn(tool_calls=[ToolCall(tool="delegate", args={"worker": worker, "instructions": "Go."})])


SCRIPT = [
    delegate("writer"),
    ScriptedTurn("Boils in 90 seconds."),
    ScriptedTurn("No source.\nscore: 0.5"),
    ScriptedTurn("Let the researcher name the source."),
    delegate("researcher"),
    ScriptedTurn("Boils in 90 seconds, says the lab."),
    ScriptedTurn("score: 0.9"),
]


def worker(model: str | None, answer: str) -> Agent:
    return Agent("Do your part.", model=model or ScriptedModel([ScriptedTurn(answer)]))


async def main(model: str | None = MODEL) -> str:
    memory = InMemoryMemory()
    agent = Agent(
        "You write about kettles.",
        model=model or ScriptedModel(SCRIPT),
        memory=memory,
        architecture=Reflexion(
            base=Supervisor(workers={"researcher": worker(model, "The lab."), "writer": worker(model, "90 seconds.")}),
            max_attempts=3,
            threshold=0.85,
        ),
    )
    output = ""
    async for event in agent.stream("A line for the shop.", user_id="ann"):
        if event.payload.get("name") == "reflexion.evaluated":
            print(f"attempt {event.payload['attempt']}: {event.payload['score']}")
        if event.kind == "completed":
            output = event.payload["result"]["output"]
    print(output)
    [lessons] = await memory.working(user_id="ann")
    print("lesson kept:", lessons.content.strip().removeprefix("- "))
    return output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
