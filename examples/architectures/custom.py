"""A strategy of your own: three names, `name`, `run` and `declared_workers`, and any agent can use it.

$ python examples/architectures/custom.py
Echo: TWO WORDS
run on its own: Echo: AGAIN
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping

from loom import Agent, Event
from loom.architecture import AgentSession, Dependencies, ReAct
from loom.team import run_architecture

MODEL = os.environ.get("LOOM_MODEL", "echo")


class Shouting:
    """ReAct over the prompt in capital letters."""

    name = "shouting"

    def declared_workers(self) -> Mapping[str, Agent]:
        return {}

    async def run(self, session: AgentSession, deps: Dependencies, prompt: str) -> AsyncIterator[Event]:
        async for event in ReAct().run(session, deps, prompt.upper()):
            yield event


async def main(model: str = MODEL) -> str:
    agent = Agent("Answer.", model=model, architecture=Shouting())
    print((await agent.run("two words")).output)

    # A strategy can be tried without an agent around it.
    result = await run_architecture(Shouting(), "again", model=model)
    print("run on its own:", result.output)
    return result.output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
