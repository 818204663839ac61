"""What is known about somebody: look at it, hand it out, delete it. The same three calls on every memory.

$ python examples/memory_rights.py
ann: 3 turns, 1 fact, sessions ['s2', 's1']
exported: 3 turns, among them 'I work at Acme.'
forgot session s2: 1
forgot what is older than now: 3
ann: 0 turns; ben: 1 turn
"""

import asyncio
import os
import sys
from datetime import UTC, datetime

from loom import Agent, Fact
from loom.memory import InMemoryFactStore, InMemoryMemory

MODEL = os.environ.get("LOOM_MODEL", "echo")


async def main(model: str = MODEL) -> str:
    facts = InMemoryFactStore()
    agent = Agent("Be kind.", model=model, memory=InMemoryMemory(fact_store=facts))
    for prompt, session in (("I work at Acme.", "s1"), ("I like soup.", "s1"), ("Hello again.", "s2")):
        await agent.run(prompt, user_id="ann", session_id=session)
    await agent.run("I am Ben.", user_id="ben")
    await facts.append(Fact(user_id="ann", subject="ann", predicate="works at", object="Acme"))

    profile = await agent.memory.profile(user_id="ann")
    print(f"ann: {profile.episode_count} turns, {profile.fact_count} fact, sessions {profile.recent_sessions}")

    export = await agent.memory.export(user_id="ann")
    document = export.model_dump_json()  # for the person's download
    print(f"exported: {len(export.episodes)} turns, among them {export.episodes[0].input!r}")

    print("forgot session s2:", await agent.memory.forget(user_id="ann", session_id="s2"))
    now = datetime.now(UTC)
    print("forgot what is older than now:", await agent.memory.forget(user_id="ann", before=now))
    left = {user: (await agent.memory.profile(user_id=user)).episode_count for user in ("ann", "ben")}
    print(f"ann: {left['ann']} turns; ben: {left['ben']} turn")
    return document


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
