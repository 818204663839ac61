"""The memory of a workflow is that of its agents, where they have none of their own.

$ python examples/workflow_memory.py
remembered for ann: 2
the second agent was told: ['The order is A-17.']
"""

import asyncio
import os
import sys

from loom import Agent, InMemoryMemory, Message, ScriptedModel, ScriptedTurn, Workflow

MODEL = os.environ.get("LOOM_MODEL")


async def main(model: str | None = MODEL) -> list[str]:
    told: list[str] = []

    def answer(messages: list[Message]) -> ScriptedTurn:
        told.extend("The order is A-17." for message in messages if "The order is A-17." in message.content)
        return ScriptedTurn("On Friday.")

    memory = InMemoryMemory()
    first = Agent("Take orders.", model=model or ScriptedModel([ScriptedTurn("Noted.")]))
    second = Agent("Answer.", model=model or ScriptedModel([answer]))

    # The second agent is only handed "Noted."; the rest it finds in the memory of the workflow.
    await Workflow.chain([first, second], memory=memory).run("The order is A-17.", user_id="ann")

    profile = await memory.profile(user_id="ann")
    print("remembered for ann:", profile.episode_count)
    print("the second agent was told:", told)
    return told


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
