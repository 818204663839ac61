"""Everything switched on: what an agent for customers looks like. What is left out costs nothing.

$ python examples/production.py
hooks saw: track
On its way.
trail of ann: run_started, tool_call, tool_result, memory_write, run_completed
whole: True; spans: 6; used: 12 tokens
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from loom import (
    Agent,
    BudgetConfig,
    ScriptedModel,
    ScriptedTurn,
    StandardBudget,
    StandardPermissions,
    ToolCall,
    Usage,
    tool,
)
from loom.governance import RetryPolicy
from loom.observability import InMemoryTelemetry
from loom.runtime import SqliteRuntime
from loom.security import FileAuditLog

MODEL = os.environ.get("LOOM_MODEL")
USAGE = Usage(input_tokens=4, output_tokens=2)
SCRIPT = [
    ScriptedTurn(tool_calls=[ToolCall(tool="track", args={"number": "A-17"})], usage=USAGE),
    ScriptedTurn("On its way.", usage=USAGE),
]


@tool(effect="read")
async def track(number: str) -> str:
    """Where an order is."""
    return "on its way"


async def main(model: str | None = MODEL) -> str:
    with tempfile.TemporaryDirectory() as folder:
        log = FileAuditLog(Path(folder, "audit.jsonl"), secret="kept elsewhere")  # noqa: S106
        budget = StandardBudget(BudgetConfig(max_tokens=1_000_000, per_user_max_tokens=10_000))
        telemetry, runtime = InMemoryTelemetry(), SqliteRuntime(Path(folder, "runs.db"))
        agent = Agent(
            "You are the help desk.",
            model=model or ScriptedModel(SCRIPT),
            tools=[track],
            permissions=StandardPermissions.strict(),
            budget=budget,
            audit_log=log,
            telemetry=telemetry,  # OTelTelemetry() in production
            runtime=runtime,
            retry_policy=RetryPolicy.aggressive(),
        )

        @agent.before_tool
        async def watch(call: ToolCall) -> None:
            print("hooks saw:", call.tool)

        result = await agent.run("Where is A-17?", user_id="ann")
        print(result.output)
        print("trail of ann:", ", ".join(entry.action for entry in await log.query(user_id="ann")))
        whole, used = (await log.verify()).ok, int(budget.usage_for("ann")["tokens_total"])
        print(f"whole: {whole}; spans: {len(telemetry.spans())}; used: {used} tokens")
        log.close()
        await runtime.aclose()
    return result.output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
