"""A step may be an agent of any architecture: here the draft of a workflow is refined before it goes on.

$ python examples/workflow_architecture.py
critique: The price is missing.
refined: A quiet kettle for 29 euros.
critique: no issues
== A quiet kettle for 29 euros. ==
"""

import asyncio
import os
import sys

from loom import Agent, EventKind, ScriptedModel, ScriptedTurn, Workflow

MODEL = os.environ.get("LOOM_MODEL")
SCRIPT = [
    ScriptedTurn("A quiet kettle."),
    ScriptedTurn("The price is missing."),
    ScriptedTurn("A quiet kettle for 29 euros."),
    ScriptedTurn("no issues"),
]


async def framed(text: str) -> str:
    return f"== {text} =="


async def main(model: str | None = MODEL) -> str:
    writer = Agent("Write product lines.", model=model or ScriptedModel(SCRIPT), architecture="self-refine")
    output = ""
    async for event in Workflow.chain([writer, framed]).stream("A line for our kettle (29 euros)."):
        if event.payload.get("name") == "self_refine.critique":
            print("critique:", event.payload["critique"])
        if event.payload.get("name") == "self_refine.refined":
            print("refined:", event.payload["output"])
        if event.kind is EventKind.WORKFLOW_COMPLETED:
            output = event.payload["output"]
    print(output)
    return output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
