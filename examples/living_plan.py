"""A plan that the model rewrites as it goes; the run does not end while a step is open.

$ python examples/living_plan.py
1/2 done
2/2 done
kept in the workspace: plan 'Plan: Launch the kettle'
May it is.
"""

import asyncio
import os
import re
import sys

from loom import Agent, InMemoryWorkspace, ScriptedModel, ScriptedTurn, ToolCall

MODEL = os.environ.get("LOOM_MODEL")


def plan(*statuses: str) -> ToolCall:
    steps = [
        {"description": description, "status": status}
        for description, status in zip(("find a month", "tell everybody"), statuses, strict=True)
    ]
    return ToolCall(tool="plan_write", args={"goal": "Launch the kettle", "steps": steps})


SCRIPT = [
    ScriptedTurn(tool_calls=[plan("done", "todo")]),
    ScriptedTurn("I think I am done."),  # the open step sends the model back to work
    ScriptedTurn(tool_calls=[plan("done", "done")]),
    ScriptedTurn("May it is."),
]


async def main(model: str | None = MODEL) -> str:
    workspace = InMemoryWorkspace()
    agent = Agent("You plan.", model=model or ScriptedModel(SCRIPT), living_plan=True, workspace=workspace)
    output = ""
    async for event in agent.stream("When do we launch?"):
        if event.kind == "tool_result" and (found := re.search(r"\d/\d done", event.payload["result"].text())):
            print(found[0])
        if event.kind == "completed":
            output = event.payload["result"]["output"]
    for note in await workspace.list_notes(kind="plan"):
        print(f"kept in the workspace: {note.kind} {note.title!r}")
    print(output)
    return output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
