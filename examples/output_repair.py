"""An answer that does not fit its type is sent back with what is wrong, and after that refused.

$ python examples/output_repair.py
Acme was founded in 1908, in Leiden (2 turns)
refused: 'around 1908'
"""

import asyncio
import os
import sys

from pydantic import BaseModel

from loom import Agent, OutputValidationError, ScriptedModel, ScriptedTurn

MODEL = os.environ.get("LOOM_MODEL")
VAGUE = ScriptedTurn('{"name": "Acme", "founded_year": "around 1908", "headquarters": "Leiden"}')
EXACT = ScriptedTurn('{"name": "Acme", "founded_year": 1908, "headquarters": "Leiden"}')


class Company(BaseModel):
    name: str
    founded_year: int
    headquarters: str


async def main(model: str | None = MODEL) -> Company:
    agent = Agent("Extract facts about companies.", model=model or ScriptedModel([VAGUE, EXACT, VAGUE]))

    result = await agent.run("Tell me about Acme.", output_schema=Company)
    company: Company = result.parsed
    print(f"{company.name} was founded in {company.founded_year}, in {company.headquarters} ({result.turns} turns)")

    try:
        await agent.run("Tell me about Acme.", output_schema=Company, output_validation_retries=0)
    except OutputValidationError as error:
        [problem] = error.cause.errors()
        print(f"refused: {problem['input']!r}")
    return company


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
