"""Watch a run while it happens.

$ python examples/streaming.py
started
model_chunk tool_call
model_chunk finish
tool_call get_time
tool_result 09:00
model_chunk It
model_chunk is
model_chunk 09:00
model_chunk in
model_chunk Oslo.
model_chunk finish
memory_write
completed
read on without the rest: started
"""

import asyncio
import os
import sys
from contextlib import aclosing

from loom import Agent, Event, EventKind, ScriptedModel, ScriptedTurn, ToolCall, tool

MODEL = os.environ.get("LOOM_MODEL")


@tool
async def get_time(city: str) -> str:
    """The time in a city."""
    return "09:00"


def script() -> ScriptedModel:
    ask = ScriptedTurn(tool_calls=[ToolCall(tool="get_time", args={"city": "Oslo"})])
    return ScriptedModel([ask, ScriptedTurn("It is 09:00 in Oslo.")])


def told(event: Event) -> str:
    """What an event says, in a word."""
    if event.kind is EventKind.MODEL_CHUNK:
        chunk = event.payload["chunk"]
        return (chunk.text or chunk.kind).strip()
    if event.kind is EventKind.TOOL_CALL:
        return event.payload["call"].tool
    return event.payload["result"].output if event.kind is EventKind.TOOL_RESULT else ""


async def main(model: str | None = MODEL) -> list[str]:
    agent = Agent("Tell the time.", model=model or script(), tools=[get_time])
    kinds = []
    async for event in agent.stream("How late is it in Oslo?"):
        kinds.append(event.kind.value)
        print(f"{event.kind} {told(event)}".rstrip())

    # Leaving early stops the run: no model and no tool goes on behind your back.
    async with aclosing(agent.stream("And in Lima?")) as events:
        async for event in events:
            print("read on without the rest:", event.kind)
            break
    return kinds


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
