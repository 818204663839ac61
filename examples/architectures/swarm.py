"""Swarm: equals that hand the conversation over to each other, here with a typed payload and a filtered history.

$ python examples/architectures/swarm.py
triage -> billing {"invoice": 4711, "reason": "charged twice"}
We paid invoice 4711 back.
"""

import asyncio
import os
import sys

from pydantic import BaseModel

from loom import Agent, Message, ScriptedModel, ScriptedTurn, ToolCall
from loom.architecture import Handoff, Swarm

MODEL = os.environ.get("LOOM_MODEL")
TRIAGE = [
    ScriptedTurn(tool_calls=[ToolCall(tool="transfer_to_billing", args={"invoice": 4711, "reason": "charged twice"})]),
    ScriptedTurn(""),
]


class Refund(BaseModel):
    """What billing must know; the model fills it in."""

    invoice: int
    reason: str


def only_the_last(history: list[Message], payload: Refund) -> list[Message]:
    return history[-1:]


async def main(model: str | None = MODEL) -> str:
    triage = Agent("Find out who can help.", model=model or ScriptedModel(TRIAGE))
    billing = Agent("You pay back.", model=model or ScriptedModel([ScriptedTurn("We paid invoice 4711 back.")]))
    agent = Agent(
        "Customer support.",
        model=model or "echo",
        architecture=Swarm(
            agents={"triage": triage, "billing": Handoff(billing, input_type=Refund, input_filter=only_the_last)},
            entry_agent="triage",
            max_handoffs=4,
        ),
    )
    output = ""
    async for event in agent.stream("You charged me twice for invoice 4711."):
        said = event.payload
        if said.get("name") == "swarm.handoff":
            print(f"{said['source']} -> {said['target']} {said['message']}")
        if event.kind == "completed":
            output = said["result"]["output"]
    print(output)
    return output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
