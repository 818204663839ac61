"""Actor and critic: one agent writes, another one judges, best with another model that has other blind spots.

$ python examples/architectures/actor_critic.py
round 1: 0.4, because of: no unit
round 2: 0.95
The bridge is 137 meters long.
"""

import asyncio
import os
import sys

from loom import Agent, ScriptedModel, ScriptedTurn
from loom.architecture import ActorCritic

MODEL = os.environ.get("LOOM_MODEL")
ACTOR = [ScriptedTurn("The bridge is 137 long."), ScriptedTurn("The bridge is 137 meters long.")]
CRITIC = [
    ScriptedTurn('{"score": 0.4, "issues": ["no unit"], "summary": "incomplete"}'),
    ScriptedTurn('{"score": 0.95, "issues": [], "summary": "good"}'),
]


async def main(model: str | None = MODEL, other_model: str | None = None) -> str:
    agent = Agent(
        "Describe bridges.",
        model=model or "echo",
        architecture=ActorCritic(
            actor=Agent("Write.", model=model or ScriptedModel(ACTOR)),
            critic=Agent("Judge.", model=other_model or model or ScriptedModel(CRITIC)),
            max_rounds=3,
            approval_threshold=0.9,
        ),
    )
    output = ""
    async for event in agent.stream("How long is the bridge?"):
        said = event.payload
        if said.get("name") == "actor_critic.critiqued":
            why = f", because of: {', '.join(said['issues'])}" if said["issues"] else ""
            print(f"round {said['round']}: {said['score']}{why}")
        if event.kind == "completed":
            output = said["result"]["output"]
    print(output)
    return output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
