"""The three kinds of skills: plain advice, a script in any language, Python functions. Only their names cost anything
until the model loads one.

    $ python examples/skills/modes.py
    calc, greeter, standup
    load_skill -> # Daily report
    load_skill -> # Sums
    calc__add -> 1000000000000000000001
    load_skill -> # Greetings
    greeter__say_hi -> Welcome back, Ann!
"""

import asyncio
import os
import sys
from pathlib import Path

from loom import Agent, ScriptedModel, ScriptedTurn, ToolCall, ToolResult

MODEL = os.environ.get("LOOM_MODEL")
SKILLS = Path(__file__).parent
CALLS = [
    ToolCall(tool="load_skill", args={"name": "standup"}),
    ToolCall(tool="load_skill", args={"name": "calc"}),
    ToolCall(tool="calc__add", args={"a": "1000000000000000000000", "b": "1"}),
    ToolCall(tool="load_skill", args={"name": "greeter"}),
    ToolCall(tool="greeter__say_hi", args={"name": "Ann"}),
]


async def main(model: str | None = MODEL) -> list[str]:
    agent = Agent(
        "You help in the office.",
        model=model or ScriptedModel([ScriptedTurn(tool_calls=[call]) for call in CALLS]),
        skills=[SKILLS / "system"],
    )
    print(", ".join(agent.skills.names()))
    lines: list[str] = []

    @agent.after_tool
    async def show(call: ToolCall, result: ToolResult) -> None:
        lines.append(f"{call.tool} -> {result.text().splitlines()[0]}")
        print(lines[-1])

    await agent.run("Greet Ann, add her numbers, write her report.")
    return lines


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
