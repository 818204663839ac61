"""A workflow without a model: one step after the other, each with events, audit entries and a span if you want them.

    $ python examples/workflow_chain.py
    1,250.00 EUR
    clean -> parse -> format_
    the same in plain Python: 1,250.00 EUR

Three awaits in a row need no framework; a chain earns its place when somebody wants to know what happened in it.
"""

import asyncio
import sys

from loom import Workflow, WorkflowResult, step


async def clean(text: str) -> str:
    return text.strip().removesuffix("€").strip()


async def parse(text: str) -> float:
    return float(text)


@step(name="format_")
async def formatted(amount: float) -> str:
    return f"{amount:,.2f} EUR"


async def main(model: str | None = None) -> WorkflowResult:
    result = await Workflow.chain([clean, parse, formatted]).run(" 1250 € ", user_id="ann")
    print(result.output)
    print(" -> ".join(result.visited))
    print("the same in plain Python:", await formatted(await parse(await clean(" 1250 € "))))
    return result


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
