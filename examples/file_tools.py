"""The tools that come along: files and a shell, all inside of one folder.

$ python examples/file_tools.py
write -> wrote 10 bytes to hello.txt
edit -> replaced 1 occurrence in hello.txt
read ->      1	Hello world
bash -> $ wc -w < hello.txt
read -> ERROR: '../../etc/passwd' is outside of the work directory; ...
"""

import asyncio
import os
import sys
import tempfile

from loom import Agent, ScriptedModel, ScriptedTurn, ToolCall, ToolResult
from loom.tools import bash_tool, edit_tool, read_tool, write_tool

MODEL = os.environ.get("LOOM_MODEL")
CALLS = [
    ToolCall(tool="write", args={"path": "hello.txt", "content": "Hello you\n"}),
    ToolCall(tool="edit", args={"path": "hello.txt", "old_string": "you", "new_string": "world"}),
    ToolCall(tool="read", args={"path": "hello.txt"}),
    ToolCall(tool="bash", args={"command": "wc -w < hello.txt"}),
    ToolCall(tool="read", args={"path": "../../etc/passwd"}),
]


async def main(model: str | None = MODEL) -> list[str]:
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        agent = Agent(
            "You write files.",
            model=model or ScriptedModel([ScriptedTurn(tool_calls=[call]) for call in CALLS]),
            tools=[read_tool(folder), write_tool(folder), edit_tool(folder), bash_tool(folder)],
        )

        @agent.after_tool
        async def show(call: ToolCall, result: ToolResult) -> None:
            lines.append(f"{call.tool} -> {result.text().splitlines()[0]}")
            print(lines[-1])

        await agent.run("Greet the world in a file.")
    return lines


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
