"""A last look before a run ends: a hook may send the agent back to work, a limited number of times.

$ python examples/stop_hooks.py
Boils in 90 seconds.
sent back: no unit of price
Boils in 90 seconds, for 29 euros.
"""

import asyncio
import os
import sys

from loom import Agent, ScriptedModel, ScriptedTurn, StopHookResult
from loom.architecture import AgentSession, Dependencies

MODEL = os.environ.get("LOOM_MODEL")
SCRIPT = [ScriptedTurn("Boils in 90 seconds."), ScriptedTurn("Boils in 90 seconds, for 29 euros.")]


class NamesThePrice:
    name = "names-the-price"

    async def __call__(self, session: AgentSession, deps: Dependencies, *, iteration: int) -> StopHookResult | None:
        print(session.output)
        if "euros" in session.output:
            return None
        return StopHookResult(inject_message="Say the price in euros, too.", reason="no unit of price")


async def main(model: str | None = MODEL) -> str:
    agent = Agent(
        "Write product lines.",
        model=model or ScriptedModel(SCRIPT),
        stop_hooks=[NamesThePrice()],
        max_stop_hook_iterations=3,
    )
    output = ""
    async for event in agent.stream("A line for our kettle."):
        if event.payload.get("name") == "stop_hook.fired":
            print("sent back:", event.payload["reason"])
        if event.kind == "completed":
            output = event.payload["result"]["output"]
    return output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
