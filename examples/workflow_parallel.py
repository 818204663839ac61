"""Several steps at the same time, and one that makes something of their results.

$ python examples/workflow_parallel.py
Echo: the launch | 2 words | 10 letters
"""

import asyncio
import os
import sys

from loom import Agent, Workflow

MODEL = os.environ.get("LOOM_MODEL", "echo")


async def words(text: str) -> str:
    return f"{len(text.split())} words"


def letters(text: str) -> str:
    """A sync step runs in a thread."""
    return f"{len(text)} letters"


async def main(model: str = MODEL) -> str:
    summary = Agent("Summarize.", name="summary", model=model)
    workflow = Workflow.parallel([summary, words, letters], merge=" | ".join, concurrency=3)
    result = await workflow.run("the launch")
    print(result.output)
    return result.output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
