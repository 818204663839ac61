"""A memory by its name, by a description, or as an object. The agent is made at once; a server is reached when used.

    $ python examples/memory_backends.py
    nothing said: InMemoryMemory, 1 turn of ann
    inmemory: InMemoryMemory, 1 turn of ann
    a description: InMemoryMemory, 1 turn of ann
    an object: InMemoryMemory, 1 turn of ann
    sqlite: SqliteMemory, 1 turn of ann
    ConfigError: no memory 'mysql://db'; use inmemory, sqlite:<path>, chroma:<directory>, postgresql://… or redis://…

Others: `sqlite:./bot.db` (one file), `chroma:./vectors`, `postgresql://user@host/db`, `redis://host:6379/0`.
"""

import asyncio
import os
import sys
import tempfile
from typing import Any

from loom import Agent, ConfigError, HashEmbedder
from loom.memory import InMemoryFactStore, InMemoryMemory

MODEL = os.environ.get("LOOM_MODEL", "echo")


async def used(model: str, memory: Any) -> str:
    """What one turn leaves in a memory."""
    agent = Agent("Be kind.", model=model, memory=memory)
    await agent.run("I like tea.", user_id="ann")
    profile = await agent.memory.profile(user_id="ann")
    return f"{type(agent.memory).__name__}, {profile.episode_count} turn of ann"


async def main(model: str = MODEL) -> list[str]:
    said = []
    with tempfile.TemporaryDirectory() as folder:
        specs = {
            "nothing said": None,
            "inmemory": "inmemory",
            "a description": {"backend": "inmemory", "with_facts": True, "embedder": "hash"},
            "an object": InMemoryMemory(fact_store=InMemoryFactStore(embedder=HashEmbedder())),
            "sqlite": f"sqlite:{folder}/bot.db",
        }
        for name, spec in specs.items():
            try:
                said.append(f"{name}: {await used(model, spec)}")
            except ConfigError as error:  # a backend that is not installed says so
                said.append(f"{name}: {error}")
            print(said[-1])
    try:
        Agent("Be kind.", model=model, memory="mysql://db")
    except ConfigError as error:
        print(f"ConfigError: {error}")
    return said


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
