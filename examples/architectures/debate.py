"""Debate: several agents answer, read each other, answer again; when they agree it ends, and a judge has the last word.

$ python examples/architectures/debate.py
round 0
round 1
they agree
Judge: launch in May.
"""

import asyncio
import os
import sys

from loom import Agent, ScriptedModel, ScriptedTurn
from loom.architecture import MultiAgentDebate

MODEL = os.environ.get("LOOM_MODEL")
POSITIONS = {
    "You see chances.": ["We launch in March.", "We launch in May, after the tests."],
    "You see risks.": ["We should wait until June.", "We launch in May, after the tests."],
    "You count.": ["The tests end in April.", "We launch in May, after the tests."],
}


def voice(instructions: str, answers: list[str], model: str | None) -> Agent:
    return Agent(instructions, model=model or ScriptedModel([ScriptedTurn(answer) for answer in answers]))


async def main(model: str | None = MODEL) -> str:
    agent = Agent(
        "Decide for the company.",
        model=model or "echo",
        architecture=MultiAgentDebate(
            debaters=[voice(who, answers, model) for who, answers in POSITIONS.items()],
            judge=voice("You decide.", ["Judge: launch in May."], model),
            rounds=2,
            convergence_similarity=0.85,
        ),
    )
    output = ""
    async for event in agent.stream("When do we launch?"):
        said = event.payload
        if said.get("name") == "debate.round_started":
            print("round", said["round"])
        if said.get("name") == "debate.converged":
            print("they agree")
        if event.kind == "completed":
            output = said["result"]["output"]
    print(output)
    return output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
