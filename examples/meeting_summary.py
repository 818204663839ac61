"""A nested type: what was decided in a meeting, who does what until when, and how it went.

$ python examples/meeting_summary.py
Launch (positive)
- Ann: write the announcement, until 2026-12-01
- Ben: test the payment page
"""

import asyncio
import os
import sys
from datetime import date
from typing import Literal

from pydantic import BaseModel

from loom import Agent, ScriptedModel, ScriptedTurn

MODEL = os.environ.get("LOOM_MODEL")
TRANSCRIPT = """
Ann: The launch is on. I write the announcement until the first of December.
Ben: Great! I test the payment page.
"""


class ActionItem(BaseModel):
    who: str
    what: str
    due: date | None = None


class Meeting(BaseModel):
    topic: str
    mood: Literal["positive", "neutral", "negative"]
    actions: list[ActionItem]


SCRIPT = [
    ScriptedTurn(
        Meeting(
            topic="Launch",
            mood="positive",
            actions=[
                ActionItem(who="Ann", what="write the announcement", due=date(2026, 12, 1)),
                ActionItem(who="Ben", what="test the payment page"),
            ],
        ).model_dump_json()
    )
]


async def main(model: str | None = MODEL) -> Meeting:
    agent = Agent("Summarize meetings.", model=model or ScriptedModel(SCRIPT), output_schema=Meeting)
    meeting: Meeting = (await agent.run(TRANSCRIPT)).parsed
    print(f"{meeting.topic} ({meeting.mood})")
    for action in meeting.actions:
        print(f"- {action.who}: {action.what}" + (f", until {action.due}" if action.due else ""))
    return meeting


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
