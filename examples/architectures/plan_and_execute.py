"""Plan and execute: one plan, then step after step with the agent's tools, then the answer.

$ python examples/architectures/plan_and_execute.py
plan: look up the speed of light; look up the distance to the sun
1: 299,792 km/s
2: 149,600,000 km
Light takes 499 seconds from the sun.
"""

import asyncio
import os
import sys

from loom import Agent, EventKind, ScriptedModel, ScriptedTurn, ToolCall, tool

MODEL = os.environ.get("LOOM_MODEL")
SCRIPT = [
    ScriptedTurn('["look up the speed of light", "look up the distance to the sun"]'),
    ScriptedTurn(tool_calls=[ToolCall(tool="look_up", args={"what": "light"})]),
    ScriptedTurn("299,792 km/s"),
    ScriptedTurn(tool_calls=[ToolCall(tool="look_up", args={"what": "sun"})]),
    ScriptedTurn("149,600,000 km"),
    ScriptedTurn("Light takes 499 seconds from the sun."),
]


@tool
async def look_up(what: str) -> str:
    """A number from an almanac."""
    return {"light": "299,792 km/s", "sun": "149,600,000 km"}[what]


async def main(model: str | None = MODEL) -> str:
    agent = Agent(
        "You know physics.", model=model or ScriptedModel(SCRIPT), tools=[look_up], architecture="plan-and-execute"
    )
    output = ""
    async for event in agent.stream("How long does light take from the sun?"):
        said = event.payload
        if said.get("name") == "plan.created":
            print("plan:", "; ".join(said["steps"]))
        if said.get("name") == "plan.step_completed":
            print(f"{said['step_id']}: {said['output']}")
        if event.kind is EventKind.COMPLETED:
            output = said["result"]["output"]
    print(output)
    return output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
