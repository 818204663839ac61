"""A skill too small for a folder.

$ python examples/skills/inline.py
## Available skills
  - standup: Turn notes into a daily report.
Three headings: Yesterday, Today, Obstacles.
"""

import asyncio
import os
import sys

from loom import Agent
from loom.skills import Skill

MODEL = os.environ.get("LOOM_MODEL", "echo")
STANDUP = Skill.from_text("""
---
name: standup
description: Turn notes into a daily report.
---
# Daily report

Three headings: Yesterday, Today, Obstacles.
""")


async def main(model: str = MODEL) -> str:
    agent = Agent("You help in the office.", model=model, skills=[STANDUP])
    catalog = [line for line in agent.instructions.splitlines() if line.startswith(("## Available", "  - "))]
    print("\n".join(catalog))
    print(STANDUP.load_body().strip().splitlines()[-1])
    return agent.instructions


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
