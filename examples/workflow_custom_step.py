"""An agent inside of a step of your own: shape its prompt, look at its result, keep what it cost.

$ python examples/workflow_custom_step.py
Summary: Dear Ben, the launch is in May.
1 turn, 12 tokens
"""

import asyncio
import os
import sys

from loom import Agent, RunResult, ScriptedModel, ScriptedTurn, Usage, Workflow, step

MODEL = os.environ.get("LOOM_MODEL")
SCRIPT = [ScriptedTurn("Dear Ben, the launch is in May.", usage=Usage(input_tokens=5, output_tokens=7))]


async def main(model: str | None = MODEL) -> str:
    writer = Agent("Write letters.", model=model or ScriptedModel(SCRIPT))
    spent: list[RunResult] = []

    @step
    async def write(order: dict[str, str]) -> str:
        result = await writer.run(f"To: {order['to']}\nSay: {order['say']}")
        spent.append(result)
        return result.output

    async def titled(letter: str) -> str:
        return f"Summary: {letter}"

    result = await Workflow.chain([write, titled]).run({"to": "Ben", "say": "the launch is in May"})
    print(result.output)
    print(f"{spent[0].turns} turn, {spent[0].total_tokens} tokens")
    return result.output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
