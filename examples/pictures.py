"""An agent as a picture: everything that is in it, and nothing of its instructions.

$ python examples/pictures.py
flowchart TB
...newsroom...writer...look_up...
written: team.md
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from loom import Agent, tool
from loom.team import Team

MODEL = os.environ.get("LOOM_MODEL", "echo")


@tool
async def look_up(what: str) -> str:
    """Look something up."""
    return "found"


async def main(model: str = MODEL) -> str:
    newsroom = Team.supervisor(
        workers={"writer": Agent("Write.", model=model, tools=[look_up])},
        instructions="You run the newsroom.",
        name="newsroom",
        model=model,
    )
    picture = await newsroom.generate_graph()
    print(picture)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "team.md")  # .mmd is the bare text; .png and .svg are drawn on this machine
        await newsroom.generate_graph(path, title="The newsroom")
        print("written:", path.name)
    return picture


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
