"""Supervisor: a manager gives work to workers, to several at the same time, and may pass an answer on word for word.

$ python examples/architectures/supervisor.py
asked in one turn: researcher, critic
Kettles of 2026 boil in 90 seconds. Say who measured it.
word for word: A kettle that boils in 90 seconds (we measured it).
"""

import asyncio
import os
import sys
from typing import Any

from loom import Agent, ScriptedModel, ScriptedTurn, ToolCall
from loom.architecture import Supervisor

MODEL = os.environ.get("LOOM_MODEL")


def delegate(worker: str, instructions: str) -> ToolCall:
    return ToolCall(tool="delegate", args={"worker": worker, "instructions": instructions})


MANAGER = [
    ScriptedTurn(tool_calls=[delegate("researcher", "How fast do kettles boil?"), delegate("critic", "What to mind?")]),
    ScriptedTurn("Kettles of 2026 boil in 90 seconds. Say who measured it."),
    ScriptedTurn(tool_calls=[delegate("writer", "One line about our kettle.")]),
    ScriptedTurn(tool_calls=[ToolCall(tool="forward_message", args={"worker": "writer"})]),
    ScriptedTurn("Done."),
]


def worker(answer: str, model: Any) -> Agent:
    return Agent("Do your part.", model=model or ScriptedModel([ScriptedTurn(answer)]))


async def main(model: str | None = MODEL) -> list[str]:
    agent = Agent(
        "You run the marketing of a kettle maker.",
        model=model or ScriptedModel(MANAGER),
        architecture=Supervisor(
            workers={
                "researcher": worker("90 seconds.", model),
                "critic": worker("Name the source.", model),
                "writer": worker("A kettle that boils in 90 seconds (we measured it).", model),
            }
        ),
    )
    asked: list[str] = []

    @agent.before_tool
    async def note(call: ToolCall) -> None:
        asked.append(call.args["worker"])

    facts = await agent.run("What do we know about our kettle?")
    print("asked in one turn:", ", ".join(asked))
    print(facts.output)
    line = await agent.run("And now a line for the shop.")
    print("word for word:", line.output)
    return [facts.output, line.output]


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
