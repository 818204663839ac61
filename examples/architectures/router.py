"""Router: one call decides which specialist answers; that one owns the answer.

$ python examples/architectures/router.py
billing (0.9)
Your invoice is in your account under Documents.
legal (0.2), below 0.5: faq answers
Please see our frequently asked questions.
"""

import asyncio
import os
import sys

from loom import Agent, ScriptedModel, ScriptedTurn
from loom.architecture import Router, RouterRoute

MODEL = os.environ.get("LOOM_MODEL")
CLASSIFIER = [ScriptedTurn("route: billing\nconfidence: 0.9"), ScriptedTurn("route: legal\nconfidence: 0.2")]


def specialist(answer: str, model: str | None) -> Agent:
    return Agent("Answer customers.", model=model or ScriptedModel([ScriptedTurn(answer)]))


async def main(model: str | None = MODEL) -> list[str]:
    agent = Agent(
        "The entrance to our customer support.",
        model=model or ScriptedModel(CLASSIFIER),
        architecture=Router(
            routes=[
                RouterRoute(
                    name="billing",
                    agent=specialist("Your invoice is in your account under Documents.", model),
                    description="invoices and payments",
                ),
                RouterRoute(
                    name="legal", agent=specialist("A lawyer will write to you.", model), description="contracts"
                ),
                RouterRoute(
                    name="faq",
                    agent=specialist("Please see our frequently asked questions.", model),
                    description="the rest",
                ),
            ],
            fallback_route="faq",
            require_confidence_above=0.5,
        ),
    )
    outputs = []
    for prompt in ("I cannot find my invoice.", "Is that legal?"):
        async for event in agent.stream(prompt):
            said = event.payload
            if said.get("name") == "router.classified":
                sure = said["confidence"] >= 0.5
                print(f"{said['route']} ({said['confidence']})" + ("" if sure else ", below 0.5: faq answers"))
            if event.kind == "completed":
                outputs.append(said["result"]["output"])
                print(outputs[-1])
    return outputs


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
