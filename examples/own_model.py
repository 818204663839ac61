"""A model of your own: a name and one method that streams. Everything else of an agent stays as it is.

$ python examples/own_model.py
retsof
streamed: r e t s o f
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

from loom import Agent, Message, Usage
from loom.core import ModelChunk
from loom.governance import RetryPolicy

MODEL = os.environ.get("LOOM_MODEL")


class Backwards:
    """Says what it hears, from the end."""

    name = "backwards-1"

    async def stream(self, messages: list[Message], **options: Any) -> AsyncIterator[ModelChunk]:
        heard = messages[-1].content
        for letter in reversed(heard):
            yield ModelChunk(kind="text", text=letter)
        usage = Usage(input_tokens=len(heard), output_tokens=len(heard))
        yield ModelChunk(kind="finish", finish_reason="stop", usage=usage)


async def main(model: str | None = MODEL) -> str:
    # A model that Loom does not know is only tried again when you say so.
    agent = Agent("Speak.", model=model or Backwards(), retry_policy=RetryPolicy())
    result = await agent.run("foster")
    print(result.output)

    chunks = [event.payload["chunk"] async for event in agent.stream("foster") if event.kind == "model_chunk"]
    print("streamed:", *(chunk.text for chunk in chunks if chunk.kind == "text"))
    return result.output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
