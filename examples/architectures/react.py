"""ReAct, the default: think, call tools, look at the results, go on until there is an answer.

$ python examples/architectures/react.py
The population of Oslo is 717,710 and that of Bergen 291,940: 425,770 more.
3 turns, tools called: population, population, subtract
"""

import asyncio
import os
import sys

from loom import Agent, RunResult, ScriptedModel, ScriptedTurn, ToolCall, tool

MODEL = os.environ.get("LOOM_MODEL")
SCRIPT = [
    ScriptedTurn(
        tool_calls=[
            ToolCall(tool="population", args={"city": "Oslo"}),
            ToolCall(tool="population", args={"city": "Bergen"}),
        ]
    ),
    ScriptedTurn(tool_calls=[ToolCall(tool="subtract", args={"a": 717_710, "b": 291_940})]),
    ScriptedTurn("The population of Oslo is 717,710 and that of Bergen 291,940: 425,770 more."),
]
called: list[str] = []


@tool
async def population(city: str) -> int:
    """How many people live in a city."""
    called.append("population")
    return {"Oslo": 717_710, "Bergen": 291_940}[city]


@tool
async def subtract(a: int, b: int) -> int:
    """a minus b."""
    called.append("subtract")
    return a - b


async def main(model: str | None = MODEL) -> RunResult:
    called.clear()
    agent = Agent("Compare cities.", model=model or ScriptedModel(SCRIPT), tools=[population, subtract])
    result = await agent.run("How many more people live in Oslo than in Bergen?")
    print(result.output)
    print(f"{result.turns} turns, tools called: {', '.join(called)}")
    return result


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
