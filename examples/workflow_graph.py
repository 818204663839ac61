"""A graph drawn by hand: the first node is chosen by the input, and each branch ends for itself.

$ python examples/workflow_graph.py
['billing'] Echo: I cannot see my invoice
['tech'] Echo: It does not start
flowchart TD
...billing...tech...
"""

import asyncio
import os
import sys

from loom import END, START, Agent, Workflow

MODEL = os.environ.get("LOOM_MODEL", "echo")


def triage(model: str) -> Workflow:
    workflow = Workflow("triage")
    workflow.add_node("billing", Agent("You know invoices.", model=model))
    workflow.add_node("tech", Agent("You know machines.", model=model))
    workflow.add_router(
        START,
        fn=lambda mail: "billing" if "invoice" in mail else "tech",
        routes={"billing": "billing", "tech": "tech"},
    )
    workflow.add_edge("billing", END)
    workflow.add_edge("tech", END)
    return workflow


async def main(model: str = MODEL) -> list[str]:
    workflow = triage(model)
    outputs = []
    for mail in ("I cannot see my invoice", "It does not start"):
        result = await workflow.run(mail, user_id="ann")
        outputs.append(result.output)
        print(result.visited, result.output)
    print(workflow.to_mermaid())  # what a notebook shows for `workflow`
    return outputs


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
