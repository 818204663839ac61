"""One agent, memory, budget and audit log for any number of customers: each has rules, limits and a trail of its own.

$ python examples/multi_tenant.py
admin_ann: deleted 1
paid_ben: DENIED: delete_account: not in allow-list
free_cem: DENIED: delete_account: denied by policy
free_cem again: budget:per_user_max_tokens
ann used 200 tokens, cem 200; entries about ann: 5
"""

import asyncio
import os
import sys

from loom import (
    Agent,
    BudgetConfig,
    InMemoryAuditLog,
    InMemoryMemory,
    Mode,
    ScriptedModel,
    ScriptedTurn,
    StandardBudget,
    StandardPermissions,
    ToolCall,
    Usage,
    tool,
)
from loom.security import PerUserPermissions

MODEL = os.environ.get("LOOM_MODEL")
USAGE = Usage(input_tokens=60, output_tokens=40, cost_usd=0.001)
SCRIPT = [
    ScriptedTurn(tool_calls=[ToolCall(tool="delete_account", args={"number": 1})], usage=USAGE),
    ScriptedTurn("Done.", usage=USAGE),
]


@tool(destructive=True)
async def delete_account(number: int) -> str:
    """Delete an account for good."""
    return f"deleted {number}"


async def main(model: str | None = MODEL) -> StandardBudget:
    permissions = PerUserPermissions(
        policies={
            "admin_ann": StandardPermissions(mode=Mode.BYPASS),
            "paid_ben": StandardPermissions(mode=Mode.ACCEPT_EDITS, allowed_tools=["search"]),
        },
        default=StandardPermissions(mode=Mode.DEFAULT, denied_tools=["bash", "delete_account"]),
    )
    budget = StandardBudget(BudgetConfig(max_tokens=1_000_000, per_user_max_tokens=150, per_user_max_cost_usd=1.0))
    log = InMemoryAuditLog()
    agent = Agent(
        "You run accounts.",
        model=model or ScriptedModel(SCRIPT * 4),
        tools=[delete_account],
        memory=InMemoryMemory(),  # or memory="postgresql://…"
        permissions=permissions,
        budget=budget,
        audit_log=log,
    )
    for user in ("admin_ann", "paid_ben", "free_cem"):
        async for event in agent.stream("Delete account 1.", user_id=user):
            if event.kind == "tool_result":
                print(f"{user}: {event.payload['result'].text()}")
    again = await agent.run("Delete account 2.", user_id="free_cem")
    print("free_cem again:", again.interruption_reason)

    ann, cem = (int(budget.usage_for(user)["tokens_total"]) for user in ("admin_ann", "free_cem"))
    print(f"ann used {ann} tokens, cem {cem}; entries about ann: {len(await log.query(user_id='admin_ann'))}")
    return budget


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
