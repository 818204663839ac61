"""For programs that run for long: facts are read out of conversations every now and then, not in every run.

$ python examples/background_facts.py
in the background: 1 fact
by hand: 0 more
ann likes tea
"""

import asyncio
import json
import os
import sys

from loom import Agent, EchoModel, Message, ScriptedModel, ScriptedTurn
from loom.memory import ConsolidationWorker, Consolidator, InMemoryFactStore, InMemoryMemory

MODEL = os.environ.get("LOOM_MODEL")
FOUND = json.dumps([{"subject": "ann", "predicate": "likes", "object": "tea", "confidence": 1}])


def read(messages: list[Message]) -> ScriptedTurn:
    return ScriptedTurn(FOUND if "tea" in messages[-1].content else "[]")


async def main(model: str | None = MODEL) -> list[str]:
    store = InMemoryFactStore()
    memory = InMemoryMemory(
        fact_store=store, consolidator=Consolidator(model=ScriptedModel([read] * 9), max_facts_per_episode=5)
    )
    agent = Agent("Be kind.", model=model or EchoModel(), memory=memory)
    await agent.run("I like tea.", user_id="ann")

    found = asyncio.Event()

    async def announce(count: int) -> None:
        if count:
            found.set()

    async with ConsolidationWorker(memory, interval_seconds=0.01, on_consolidated=announce) as worker:
        await found.wait()
    print(f"in the background: {worker.total_extracted} fact")
    print(f"by hand: {await agent.consolidate()} more")
    facts = [fact.format() for fact in await store.all_facts()]
    print("\n".join(facts))
    return facts


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
