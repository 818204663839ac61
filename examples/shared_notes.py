"""Agents that share a desk: what one writes down, another finds, each user's notes apart.

$ python examples/shared_notes.py
by researcher: Speed of kettles
the writer read: 90 seconds, measured in our lab.
cited: ['001-speed-of-kettles']
ben sees 0 notes
"""

import asyncio
import os
import sys

from loom import Agent, InMemoryWorkspace, RunResult, ScriptedModel, ScriptedTurn, ToolCall

MODEL = os.environ.get("LOOM_MODEL")
WRITES = ToolCall(tool="note", args={"title": "Speed of kettles", "body": "90 seconds, measured in our lab."})
READS = ToolCall(tool="read_note", args={"slug_or_title": "Speed of kettles"})


async def main(model: str | None = MODEL) -> RunResult:
    desk = InMemoryWorkspace()  # or LocalDiskWorkspace.open("./notes"), or workspace="./notes"
    researcher = Agent(
        "You find out.",
        model=model or ScriptedModel([ScriptedTurn(tool_calls=[WRITES]), ScriptedTurn("Noted.")]),
        workspace=desk.member("researcher", teammates=["writer"]),
    )
    writer = Agent(
        "You write.",
        model=model or ScriptedModel([ScriptedTurn(tool_calls=[READS]), ScriptedTurn("Boils in 90 seconds.")]),
        workspace=desk.member("writer", teammates=["researcher"]),
    )
    await researcher.run("How fast are kettles?", user_id="ann")
    for note in await desk.list_notes(user_id="ann"):
        print(f"by {note.author}: {note.title}")

    result = await writer.run("A line for the shop.", user_id="ann")
    for slug in result.cited_slugs:
        read = await desk.read_note(slug, user_id="ann")
        print("the writer read:", read.body.strip())
    print("cited:", result.cited_slugs)
    print(f"ben sees {len(await desk.list_notes(user_id='ben'))} notes")
    return result


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
