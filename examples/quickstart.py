"""An agent with one tool.

    $ python examples/quickstart.py
    It is sunny and 22 °C in Tokyo.
    41 tokens, $0.0002

Without a model it plays a script. `python examples/quickstart.py claude-opus-4-7` or `gpt-4o` asks a real one.
"""

import asyncio
import os
import sys

from loom import Agent, Message, Role, RunResult, ScriptedModel, ScriptedTurn, ToolCall, Usage, tool

MODEL = os.environ.get("LOOM_MODEL")


@tool
async def get_weather(city: str) -> str:
    """What the weather is like in a city."""
    return f"It is sunny and 22 °C in {city}."


def script(messages: list[Message]) -> ScriptedTurn:
    """Ask for the weather, then pass on what the tool said."""
    if messages[-1].role is Role.TOOL:
        return ScriptedTurn(messages[-1].content, usage=Usage(input_tokens=20, output_tokens=9, cost_usd=0.0001))
    calls = [ToolCall(tool="get_weather", args={"city": "Tokyo"})]
    return ScriptedTurn(tool_calls=calls, usage=Usage(input_tokens=8, output_tokens=4, cost_usd=0.0001))


async def main(model: str | None = MODEL) -> RunResult:
    agent = Agent("You help travelers.", model=model or ScriptedModel([script] * 2), tools=[get_weather])
    result = await agent.run("How is the weather in Tokyo?")
    print(result.output)
    print(f"{result.tokens_in + result.tokens_out} tokens, ${result.cost_usd:.4f}")
    return result


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
