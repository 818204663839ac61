"""Classify, then hand over: a function or an agent names the way, and an agent goes it.

$ python examples/workflow_route.py
billing: Your invoice is attached.
tech: Please restart it.
default: A person will write to you.
"""

import asyncio
import os
import sys

from loom import Agent, ScriptedModel, ScriptedTurn, Workflow

MODEL = os.environ.get("LOOM_MODEL")


def agent(model: str | None, *answers: str) -> Agent:
    return Agent("Answer customers.", model=model or ScriptedModel([ScriptedTurn(answer) for answer in answers]))


async def person(mail: str) -> str:
    return "A person will write to you."


async def main(model: str | None = MODEL) -> list[str]:
    workflow = Workflow.route(
        agent(model, "billing", "tech", "poetry"),
        {"billing": agent(model, "Your invoice is attached."), "tech": agent(model, "Please restart it.")},
        default=person,
    )
    outputs = []
    for mail in ("Where is my invoice?", "It does not start.", "I wrote you a poem."):
        result = await workflow.run(mail, user_id="ann")
        outputs.append(result.output)
        print(f"{result.visited[-1]}: {result.output}")
    return outputs


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
