"""Blackboard: agents that write on one board; a coordinator says who is next, a decider makes the answer of it.

$ python examples/architectures/blackboard.py
hypothesis writes
evidence writes
the coordinator ends it
The pump is broken: it draws no power.
"""

import asyncio
import os
import sys

from loom import Agent, ScriptedModel, ScriptedTurn
from loom.architecture import BlackboardArchitecture

MODEL = os.environ.get("LOOM_MODEL")
COORDINATOR = [
    '{"terminate": false, "next_agent": "hypothesis", "instruction": "name a cause"}',
    '{"terminate": false, "next_agent": "evidence", "instruction": "check it"}',
    '{"terminate": true}',
]


def voice(instructions: str, model: str | None, *answers: str) -> Agent:
    return Agent(instructions, model=model or ScriptedModel([ScriptedTurn(answer) for answer in answers]))


async def main(model: str | None = MODEL) -> str:
    agent = Agent(
        "Find out why the cellar is wet.",
        model=model or "echo",
        architecture=BlackboardArchitecture(
            agents={
                "hypothesis": voice("You name causes.", model, "Perhaps the pump is broken."),
                "evidence": voice("You check.", model, "It draws no power."),
            },
            coordinator=voice("You say who is next.", model, *COORDINATOR),
            decider=voice("You decide.", model, "The pump is broken: it draws no power."),
        ),
    )
    output = ""
    async for event in agent.stream("Why is the cellar wet?"):
        said = event.payload
        if said.get("name") == "blackboard.posted":
            print(said["author"], "writes")
        if said.get("name") == "blackboard.terminated":
            print("the coordinator ends it")
        if event.kind == "completed":
            output = said["result"]["output"]
    print(output)
    return output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
