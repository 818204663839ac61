"""A workflow as a tool: the agent decides when, the developer decides how. It is a part of the agent's run.

$ python examples/workflow_as_tool.py
Order A-17 is on its way and arrives on Friday.
for: ann
"""

import asyncio
import os
import sys

from loom import Agent, Message, Role, ScriptedModel, ScriptedTurn, ToolCall, Workflow, get_run_context

MODEL = os.environ.get("LOOM_MODEL")
asked_for: list[str | None] = []


async def find(number: str) -> dict[str, str]:
    asked_for.append(get_run_context().user_id)  # the workflow runs for the agent's user
    return {"number": number, "day": "Friday"}


async def describe(order: dict[str, str]) -> str:
    return f"Order {order['number']} is on its way and arrives on {order['day']}."


def script(messages: list[Message]) -> ScriptedTurn:
    if messages[-1].role is Role.TOOL:
        return ScriptedTurn(messages[-1].content)
    return ScriptedTurn(tool_calls=[ToolCall(tool="order_status", args={"number": "A-17"})])


async def main(model: str | None = MODEL) -> str:
    asked_for.clear()
    status = Workflow.chain([find, describe], name="order_status")
    tool = status.as_tool(description="Where an order is.", input_arg="number")
    agent = Agent("You are the help desk.", model=model or ScriptedModel([script] * 2), tools=[tool])
    result = await agent.run("Where is A-17?", user_id="ann")
    print(result.output)
    print("for:", *asked_for)
    return result.output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
