"""A cycle: write, review, write again, until the review is content or a cap says that it is enough.

$ python examples/workflow_loop.py
write -> review -> write -> review
Kettle, 29 euros.
workflow 'endless' passed max_visits_per_node=3 at 'write'
"""

import asyncio
import os
import sys

from pydantic import BaseModel

from loom import END, Agent, ScriptedModel, ScriptedTurn, Workflow

MODEL = os.environ.get("LOOM_MODEL")


class Draft(BaseModel):
    """What goes round: checked whenever a step writes it."""

    task: str
    text: str = ""
    complaint: str = ""


def drafting(name: str, model: str | None, drafts: list[str], is_good: bool | None = None) -> Workflow:
    writer = Agent("Write product lines.", model=model or ScriptedModel([ScriptedTurn(draft) for draft in drafts]))

    async def write(draft: Draft) -> dict[str, str]:
        result = await writer.run(f"{draft.task} {draft.complaint}")
        return {"text": result.output}

    async def review(draft: Draft) -> dict[str, str]:
        good = "euros" in draft.text if is_good is None else is_good
        return {"complaint": "" if good else "Say the price."}

    workflow = Workflow(name, state=Draft, max_visits_per_node=3)
    workflow.add_node("write", write).add_node("review", review)
    workflow.set_start("write").add_edge("write", "review")
    return workflow.add_router("review", lambda draft: bool(draft.complaint), {"True": "write", "False": END})


async def main(model: str | None = MODEL) -> Draft:
    result = await drafting("line", model, ["Kettle.", "Kettle, 29 euros."]).run({"task": "A line for our kettle."})
    draft: Draft = result.output
    print(" -> ".join(result.visited))
    print(draft.text)

    try:
        await drafting("endless", model, ["Kettle."] * 3, is_good=False).run({"task": "A line."})
    except RuntimeError as error:
        print(error)
    return draft


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
