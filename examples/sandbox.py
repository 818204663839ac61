"""Tools behind walls: paths that must stay in a folder, and a process of its own for every call.

$ python examples/sandbox.py
read notes.txt: kettles
read ../../etc/passwd: DENIED: FilesystemSandbox: argument 'path' resolves outside the allowed roots
same process: False
sleep: ERROR: tool exceeded 1s and was killed
"""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import anyio

from loom import Agent, ScriptedModel, ScriptedTurn, ToolCall, tool
from loom.security import FilesystemSandbox, SubprocessSandbox
from loom.tools import InProcessToolHost

MODEL = os.environ.get("LOOM_MODEL")


@tool
def read(path: str) -> str:
    """Read a file, wherever it is: the tool itself knows no limits."""
    return Path(path).read_text().strip()


@tool
def process_id() -> int:
    """Which process this runs in."""
    return os.getpid()


@tool
def sleep() -> str:
    """Take too long."""
    time.sleep(60)
    return "awake"


async def main(model: str | None = MODEL) -> list[str]:
    said = []
    with tempfile.TemporaryDirectory() as folder:
        await anyio.Path(folder, "notes.txt").write_text("kettles\n")
        fenced = FilesystemSandbox(InProcessToolHost([read]), roots=[folder])
        calls = [ToolCall(tool="read", args={"path": path}) for path in ("notes.txt", "../../etc/passwd")]
        script = ScriptedModel([ScriptedTurn(tool_calls=[call]) for call in calls])
        agent = Agent("Read notes.", model=model or script, tools=fenced)
        async for event in agent.stream("What do the notes say?"):
            if event.kind == "tool_result":
                said.append(event.payload["result"].text())
                print(f"read {calls[len(said) - 1].args['path']}: {said[-1]}")

    apart = SubprocessSandbox(InProcessToolHost([process_id, sleep]), timeout_seconds=1.0)
    there = await apart.call("process_id", {})
    print("same process:", there.output == os.getpid())
    late = await apart.call("sleep", {})
    print("sleep:", late.text())
    return said


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
