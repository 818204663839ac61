"""A signed log of what agents did. Change one letter of it, and the check names the place.

$ python examples/audit_log.py
1 user run_started
2 model tool_call
3 system tool_result
4 system memory_write
5 system run_completed
signed: True, whole: True
after an edit: edit at entry 1
whole answers too: The order is on its way.
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from loom import (
    Agent,
    FullTranscriptAuditLog,
    InMemoryAuditLog,
    Message,
    Role,
    ScriptedModel,
    ScriptedTurn,
    ToolCall,
    tool,
)
from loom.security import FileAuditLog, verify_signature

MODEL = os.environ.get("LOOM_MODEL")
KEY = "kept elsewhere"


@tool
async def track(number: str) -> str:
    """Where an order is."""
    return "on its way"


def script(messages: list[Message]) -> ScriptedTurn:
    if messages[-1].role is Role.TOOL:
        return ScriptedTurn("The order is on its way.")
    return ScriptedTurn(tool_calls=[ToolCall(tool="track", args={"number": "A-17"})])


def change(path: Path) -> None:
    """Let it look as if somebody had asked for another order."""
    path.write_text(path.read_text().replace("A-17", "A-18", 1))


async def main(model: str | None = MODEL) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "audit.jsonl")
        log = FileAuditLog(path, secret=KEY)  # audit_log="./audit.jsonl" is enough; it then makes a secret
        agent = Agent("Help desk.", model=model or ScriptedModel([script] * 2), tools=[track], audit_log=log)
        await agent.run("Where is A-17?", user_id="ann")

        entries = await log.query(user_id="ann")
        for entry in entries:
            print(entry.seq, entry.actor, entry.action)
        signed = all(verify_signature(entry, KEY) for entry in entries)
        print(f"signed: {signed}, whole: {(await log.verify()).ok}")

        change(path)
        broken = (await log.verify()).broken
        print(f"after an edit: {broken.kind} at entry {broken.seq}")
        log.close()

    full = FullTranscriptAuditLog(InMemoryAuditLog())
    agent = Agent("Help desk.", model=model or ScriptedModel([script] * 2), tools=[track], audit_log=full)
    await agent.run("Where is A-17?")
    [completed] = await full.query(action="run_completed")
    print("whole answers too:", completed.payload["output"])
    return len(entries)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
