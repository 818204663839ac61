"""Tools of MCP servers: one registry over any number of them, local programs and HTTP alike.

    $ python examples/mcp_servers.py
    ['convert_time', 'get_current_time']
    16:30 in Tokyo is 08:30 in Berlin

The server is the package `mcp-server-time`, started as a program of its own. One behind a URL is
`MCPServerSpec.http("name", "https://…", headers={…})`.
"""

import asyncio
import json
import os
import sys

from loom import Agent, Message, Role, ScriptedModel, ScriptedTurn, ToolCall
from loom.mcp import MCPRegistry, MCPServerSpec

MODEL = os.environ.get("LOOM_MODEL")
CALL = ToolCall(
    tool="convert_time",
    args={"source_timezone": "Asia/Tokyo", "time": "16:30", "target_timezone": "Europe/Berlin"},
)
CLOCK = MCPServerSpec.stdio("clock", sys.executable, ["-m", "mcp_server_time", "--local-timezone", "Etc/UTC"])


def script(messages: list[Message]) -> ScriptedTurn:
    """Ask the server, then say what it said."""
    if messages[-1].role is not Role.TOOL:
        return ScriptedTurn(tool_calls=[CALL])
    said = json.loads(messages[-1].content)
    return ScriptedTurn(f"16:30 in Tokyo is {said['target']['datetime'][11:16]} in Berlin")


async def main(model: str | None = MODEL) -> str:
    async with MCPRegistry([CLOCK]) as servers:
        print(sorted(tool.name for tool in await servers.list_tools()))
        agent = Agent("You know the time.", model=model or ScriptedModel([script] * 2), tools=servers)
        result = await agent.run("It is 16:30 in Tokyo. How late is it in Berlin?")
    print(result.output)
    return result.output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
