"""An agent from a file, from a dictionary, and from either with something replaced.

$ python examples/from_config.py
clerk: Echo: How are you?
from a dictionary: Echo: Fine?
with another model: Hm.
no key 'max_turn'; did you mean 'max_turns'?
"""

import asyncio
import os
import sys
from pathlib import Path

from loom import Agent, ConfigError, ScriptedModel, ScriptedTurn

MODEL = os.environ.get("LOOM_MODEL")
CONFIG = Path(__file__).with_name("config.toml")


async def main(model: str | None = MODEL) -> str:
    clerk = Agent.from_config(CONFIG, model=model)
    print(f"{clerk.name}:", (await clerk.run("How are you?", user_id="ann")).output)

    short = {"instructions": "Be short.", "model": model or "echo", "budget": {"max_tokens": 1000}}
    print("from a dictionary:", (await Agent.from_dict(short).run("Fine?")).output)

    other = Agent.from_dict(short, model=ScriptedModel([ScriptedTurn("Hm.")]))
    print("with another model:", (await other.run("Fine?")).output)

    try:
        Agent.from_dict({**short, "max_turn": 3})
    except ConfigError as error:
        print(error)
    return clerk.name


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
