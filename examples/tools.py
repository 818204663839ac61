"""Tools are functions. Their schema comes from types and docstring; what is wrong goes back to the model.

$ python examples/tools.py
['convert', 'lookup', 'wipe_disk']
amount: number, how much money; currency: USD or EUR
convert -> 9.2 EUR
convert -> ERROR: the arguments of 'convert' do not fit: /amount: ...
['convert', 'lookup']
"""

import asyncio
import os
import sys
from typing import Any, Literal

from loom import Agent, ScriptedModel, ScriptedTurn, Tool, ToolCall, ToolResult, tool

MODEL = os.environ.get("LOOM_MODEL")
SCRIPT = [
    ScriptedTurn(
        tool_calls=[
            ToolCall(id="1", tool="convert", args={"amount": 10, "currency": "EUR"}),
            ToolCall(id="2", tool="convert", args={"amount": "ten"}),
        ]
    ),
    ScriptedTurn("Ten dollars are 9.2 euros."),
]


@tool
async def convert(amount: float, currency: Literal["USD", "EUR"] = "EUR") -> str:
    """Convert US dollars.

    Args:
        amount: how much money
        currency: what to convert it to
    """
    return f"{amount * (1 if currency == 'USD' else 0.92):.1f} {currency}"


@tool(destructive=True)
def wipe_disk() -> str:
    """Delete everything. A sync function runs in a thread."""
    return "gone"


async def main(model: str | None = MODEL) -> list[str]:
    agent = Agent("You know money.", model=model or ScriptedModel(SCRIPT), tools=[convert, wipe_disk])

    @agent.with_tool
    def lookup(code: str) -> str:
        """The name of a currency."""
        return {"EUR": "euro", "USD": "US dollar"}[code]

    print(sorted(await agent.tools_list()))
    print(described(convert))

    results: list[str] = []

    @agent.after_tool
    async def note(call: ToolCall, result: ToolResult) -> None:
        results.append(f"{call.tool} -> {result.text().splitlines()[0]}")

    await agent.run("What are ten dollars?")
    print("\n".join(sorted(results)))

    agent.remove_tool("wipe_disk")
    print(sorted(await agent.tools_list()))
    return results


def described(item: Tool) -> str:
    """The parameters as a model reads them."""
    properties: dict[str, Any] = item.input_schema["properties"]
    amount, currency = properties["amount"], properties["currency"]
    return f"amount: {amount['type']}, {amount['description']}; currency: {' or '.join(currency['enum'])}"


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
