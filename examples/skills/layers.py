"""Skills from several places: of two with one name, the later place wins. A label says in the catalog whose it is.

$ python examples/skills/layers.py
standup: Turn notes into the daily report of this project. [Project]
Two headings: Done, Next. Name the ticket of each line.
and without the project: Three headings: Yesterday, Today, Obstacles.
"""

import asyncio
import os
import sys
from pathlib import Path

from loom import Agent

MODEL = os.environ.get("LOOM_MODEL", "echo")
HERE = Path(__file__).parent


async def main(model: str = MODEL) -> str:
    agent = Agent(
        "You help in the office.",
        model=model,
        skills=[
            str(HERE / "system"),  # for everybody; a path may begin with ~
            (str(HERE / "project"), "Project"),  # wins over the one above
        ],
    )
    skills = agent.skills
    said = skills.metadata_map()["standup"]
    print(f"{said.name}: {said.description} [{said.source_label}]")
    print(last_line(skills.load("standup")))

    plain = Agent("You help in the office.", model=model, skills=[HERE / "system"])
    print("and without the project:", last_line(plain.skills.load("standup")))
    return skills.load("standup")


def last_line(body: str) -> str:
    return body.strip().splitlines()[-1]


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
