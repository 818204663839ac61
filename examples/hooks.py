"""Code of yours around every tool: before it, which may refuse or ask, and after it.

$ python examples/hooks.py
search: 3 hits
send: DENIED: no mail to strangers
2 calls seen, 1 allowed
"""

import asyncio
import os
import sys

from loom import Agent, PermissionDecision, ScriptedModel, ScriptedTurn, ToolCall, ToolResult, tool

MODEL = os.environ.get("LOOM_MODEL")
SCRIPT = [
    ScriptedTurn(
        tool_calls=[
            ToolCall(tool="search", args={"query": "kettles"}),
            ToolCall(tool="send", args={"to": "x@elsewhere.example"}),
        ]
    ),
    ScriptedTurn("Done."),
]


@tool
async def search(query: str) -> str:
    """Search the shop."""
    return "3 hits"


@tool
async def send(to: str) -> str:
    """Send a mail."""
    return "sent"


async def main(model: str | None = MODEL) -> tuple[int, int]:
    agent = Agent("You work in a shop.", model=model or ScriptedModel(SCRIPT), tools=[search, send])
    seen: list[str] = []
    allowed: list[str] = []

    @agent.before_tool
    async def only_colleagues(call: ToolCall) -> PermissionDecision | None:
        seen.append(call.tool)
        if call.tool == "send" and not call.args["to"].endswith("@shop.example"):
            return PermissionDecision.deny_("no mail to strangers")
        return None

    @agent.after_tool
    async def note(call: ToolCall, result: ToolResult) -> None:
        if result.ok:
            allowed.append(call.tool)

    async for event in agent.stream("Find kettles and tell x."):
        if event.kind == "tool_result":
            result = event.payload["result"]
            print(f"{'send' if result.denied else 'search'}: {result.text()}")
    print(f"{len(seen)} calls seen, {len(allowed)} allowed")
    return len(seen), len(allowed)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
