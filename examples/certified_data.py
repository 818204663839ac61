"""Values with a birth certificate: how old one may be, and where it may come from.

$ python examples/certified_data.py
a price of one minute: fresh
a price of ten minutes: the value from 'exchange:xetra' is stale: it is 0:10:00... old, 0:05:00 are allowed
a rumor: the source 'blog:rumors' is not allowed; allowed are bank:, exchange:
the agent was told: 101.5
"""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta

from loom import Agent, Message, Role, ScriptedModel, ScriptedTurn, ToolCall, tool
from loom.core import CertifiedValue, FreshnessError, LineageError
from loom.data import FreshnessPolicy, LineagePolicy, check_freshness, require_freshness, require_lineage

MODEL = os.environ.get("LOOM_MODEL")
FRESH = FreshnessPolicy.from_dict({"exchange:": timedelta(minutes=5)}, default=timedelta(days=1))
TRUSTED = LineagePolicy.from_iter(["exchange:", "bank:"])


def price(age: timedelta, *, source: str = "exchange:xetra", lineage: tuple[str, ...] = ()) -> CertifiedValue:
    return CertifiedValue(value=101.5, source=source, fetched_at=datetime.now(UTC) - age, lineage=lineage)


@tool
async def share_price() -> float:
    """The price of the share. Only a fresh one from a source we trust is given out."""
    found = price(timedelta(seconds=10), lineage=("exchange:xetra",))
    require_freshness(found, FRESH)
    require_lineage(found, TRUSTED)
    return found.value


def script(messages: list[Message]) -> ScriptedTurn:
    if messages[-1].role is Role.TOOL:
        return ScriptedTurn(messages[-1].content)
    return ScriptedTurn(tool_calls=[ToolCall(tool="share_price")])


async def main(model: str | None = MODEL) -> str:
    print("a price of one minute:", "fresh" if check_freshness(price(timedelta(minutes=1)), FRESH) else "stale")
    try:
        require_freshness(price(timedelta(minutes=10)), FRESH)
    except FreshnessError as error:
        print("a price of ten minutes:", error)
    try:
        require_lineage(price(timedelta(0), lineage=("blog:rumors",)), TRUSTED)
    except LineageError as error:
        print("a rumor:", error)

    agent = Agent("You know shares.", model=model or ScriptedModel([script] * 2), tools=[share_price])
    result = await agent.run("What does the share cost?")
    print("the agent was told:", result.output)
    return result.output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
