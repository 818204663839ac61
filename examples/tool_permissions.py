"""Who may call which tool: lists, a mode, and another rule for each user.

$ python examples/tool_permissions.py
ann: ran
ben: DENIED: delete_account: denied by policy
cem: DENIED: delete_account: not in allow-list
dora: DENIED: delete_account: destructive call requires approval
"""

import asyncio
import os
import sys

from loom import Agent, Mode, ScriptedModel, ScriptedTurn, StandardPermissions, ToolCall, tool
from loom.security import PerUserPermissions

MODEL = os.environ.get("LOOM_MODEL")


@tool(destructive=True)
async def delete_account(name: str) -> str:
    """Delete an account for good."""
    return "ran"


def script() -> ScriptedModel:
    call = ScriptedTurn(tool_calls=[ToolCall(tool="delete_account", args={"name": "old"})])
    return ScriptedModel([call, ScriptedTurn("Done.")])


async def main(model: str | None = MODEL) -> dict[str, str]:
    permissions = PerUserPermissions(
        policies={
            "ann": StandardPermissions(mode=Mode.BYPASS),
            "ben": StandardPermissions(mode=Mode.BYPASS, denied_tools=["delete_account"]),
            "cem": StandardPermissions(allowed_tools=["search"]),
        },
        default=StandardPermissions(mode=Mode.DEFAULT),  # destructive calls need a person, and here is none
    )
    said: dict[str, str] = {}
    for user in ("ann", "ben", "cem", "dora"):
        agent = Agent("You run accounts.", model=model or script(), tools=[delete_account], permissions=permissions)

        async for event in agent.stream("Delete the account 'old'.", user_id=user):
            if event.kind == "tool_result":
                said[user] = event.payload["result"].text()
        print(f"{user}: {said.get(user, 'nothing was called')}")
    return said


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
