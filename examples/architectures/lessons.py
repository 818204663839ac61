"""Lessons in a vector store: of all that was learned, a run is told what fits its question, and only its own user's.

$ python examples/architectures/lessons.py
ann learns: Name the currency with every price of a flight.
ann learns: Cook rice with twice as much water.
a flight for ann: Name the currency with every price of a flight.
a flight for ben: nothing
"""

import asyncio
import os
import sys

from loom import Agent, HashEmbedder, ScriptedModel, ScriptedTurn
from loom.architecture import Reflexion
from loom.vectorstore import InMemoryVectorStore

MODEL = os.environ.get("LOOM_MODEL")
SCRIPT = [
    *("200.", "In what?\nscore: 0.2", "Name the currency with every price of a flight.", "200 euros.", "score: 1"),
    *("One cup.", "Dry.\nscore: 0.2", "Cook rice with twice as much water.", "Two cups.", "score: 1"),
    *("90 euros.", "score: 1"),
    *("80 euros.", "score: 1"),
]


async def main(model: str | None = MODEL) -> list[str]:
    # HashEmbedder goes by shared words; OpenAIEmbedder and others of loom.memory go by meaning.
    store = InMemoryVectorStore(embedder=HashEmbedder())
    agent = Agent(
        "You help travelers.",
        model=model or ScriptedModel([ScriptedTurn(text) for text in SCRIPT]),
        architecture=Reflexion(lesson_store=store, top_k_lessons=1),
    )
    for question in ("What is the price of a flight to Rome?", "How much water for a cup of rice?"):
        async for event in agent.stream(question, user_id="ann"):
            if event.payload.get("name") == "reflexion.lesson_produced":
                print(f"ann learns: {event.payload['lesson']}")

    told = []
    for user_id in ("ann", "ben"):
        await agent.run("What is the price of a flight to Oslo?", user_id=user_id)
        blocks = await agent.memory.working(user_id=user_id)
        lessons = "".join(block.content for block in blocks).strip().removeprefix("- ")
        told.append(f"a flight for {user_id}: {lessons or 'nothing'}")
        print(told[-1])
    return told


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
