"""Limits on tokens, money and time, for everybody together and for each user.

$ python examples/budgets.py
ann 1: Fine.
ann 2: stopped by budget:per_user_max_tokens
ben 1: Fine.
ann used 60 tokens, ben 60
"""

import asyncio
import os
import sys
from datetime import timedelta

from loom import Agent, BudgetConfig, ScriptedModel, ScriptedTurn, StandardBudget, Usage

MODEL = os.environ.get("LOOM_MODEL")
FINE = ScriptedTurn("Fine.", usage=Usage(input_tokens=40, output_tokens=20, cost_usd=0.002))


async def main(model: str | None = MODEL) -> StandardBudget:
    budget = StandardBudget(
        BudgetConfig(
            max_tokens=1_000_000,  # all users together
            max_wall_clock=timedelta(hours=1),
            per_user_max_tokens=50,
            per_user_max_cost_usd=1.0,
            soft_warning_at=0.8,
        )
    )
    agent = Agent("Be short.", model=model or ScriptedModel([FINE] * 9), budget=budget)
    for user, number in (("ann", 1), ("ann", 2), ("ben", 1)):
        result = await agent.run("How are you?", user_id=user)
        stopped = f"stopped by {result.interruption_reason}"
        print(f"{user} {number}: {stopped if result.interrupted else result.output}")
    used = {user: int(budget.usage_for(user)["tokens_total"]) for user in ("ann", "ben")}
    print(f"ann used {used['ann']} tokens, ben {used['ben']}")
    return budget


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
