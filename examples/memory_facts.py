"""Facts are read out of what was said, kept with the time from which they hold, and found again by later runs.

$ python examples/memory_facts.py
ann works_at Acme
ann works_at Globex
true today: Globex; in January: Acme
the next run was told: ann works_at Globex
"""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime

from loom import Agent, Fact, Message, ScriptedModel, ScriptedTurn
from loom.memory import InMemoryFactStore, InMemoryMemory

MODEL = os.environ.get("LOOM_MODEL")
FOUND = json.dumps([{"subject": "ann", "predicate": "worksAt", "object": "Globex", "confidence": 0.9}])


async def main(model: str | None = MODEL) -> list[str]:
    told: list[str] = []

    def answer(messages: list[Message]) -> ScriptedTurn:
        facts = "\n".join(message.content for message in messages if "Known facts" in message.content)
        told.extend(line.strip("- ") for line in facts.splitlines() if "works_at" in line)
        return ScriptedTurn("At Globex.")

    store = InMemoryFactStore()
    january = datetime(2026, 1, 1, tzinfo=UTC)
    await store.append(Fact(user_id="ann", subject="ann", predicate="works at", object="Acme", valid_from=january))

    # auto_extract is on for real models without being said, and off for scripted ones.
    agent = Agent(
        "Be kind.",
        model=model or ScriptedModel([ScriptedTurn("Congratulations!"), ScriptedTurn(FOUND), answer]),
        memory=InMemoryMemory(fact_store=store),
        auto_extract=True,
    )
    await agent.run("I am Ann, and I work at Globex now.", user_id="ann")

    known = sorted(await store.all_facts(), key=lambda fact: fact.valid_from)
    for fact in known:
        print(fact.subject, fact.predicate, fact.object)
    [today] = await store.query(subject="ann", predicate="works_at", valid_at=datetime.now(UTC), user_id="ann")
    [before] = await store.query(subject="ann", predicate="works_at", valid_at=january, user_id="ann")
    print(f"true today: {today.object}; in January: {before.object}")

    await agent.run("Where does Ann work?", user_id="ann")
    print("the next run was told:", ", ".join(line.split(" [")[0] for line in told))
    return told


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
