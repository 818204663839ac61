"""A person before a call that cannot be undone: yes, no, other arguments, or an answer instead.

$ python examples/approvals.py
asked for ann: pay {'to': 'Ben', 'euros': 50}
approve: paid 50 to Ben
reject: DENIED: pay: destructive call requires approval; not this month
edit: paid 5 to Ben
respond: Ben says that he was paid already.
nobody to ask: DENIED: pay: destructive call requires approval
"""

import asyncio
import os
import sys
from typing import Any

from loom import Agent, ScriptedModel, ScriptedTurn, StandardPermissions, ToolCall, tool
from loom.security import ApprovalHandler, Approve, Edit, Reject, Respond

MODEL = os.environ.get("LOOM_MODEL")
ANSWERS: dict[str, Any] = {
    "approve": Approve(),  # or True
    "reject": Reject("not this month"),  # or False
    "edit": Edit({"to": "Ben", "euros": 5}),
    "respond": Respond("Ben says that he was paid already."),
}


@tool(destructive=True)
async def pay(to: str, euros: int) -> str:
    """Pay somebody."""
    return f"paid {euros} to {to}"


async def run(model: str | None, handler: ApprovalHandler | None) -> str:
    """One run in which the model wants to pay; what the model is told of it."""
    call = ScriptedTurn(tool_calls=[ToolCall(tool="pay", args={"to": "Ben", "euros": 50})])
    agent = Agent(
        "You pay bills.",
        model=model or ScriptedModel([call, ScriptedTurn("Done.")]),
        tools=[pay],
        permissions=StandardPermissions.strict(),
        approval_handler=handler,
    )
    results = [e.payload["result"] async for e in agent.stream("Pay Ben.", user_id="ann") if e.kind == "tool_result"]
    return results[0].text() if results else ""


async def main(model: str | None = MODEL) -> dict[str, str]:
    said = {}
    for number, (name, answer) in enumerate(ANSWERS.items()):

        async def handler(call: ToolCall, user_id: str | None, number: int = number, answer: Any = answer) -> Any:
            if number == 0:
                print(f"asked for {user_id}: {call.tool} {call.args}")
            return answer

        said[name] = await run(model, handler)
        print(f"{name}: {said[name]}")
    said["nobody"] = await run(model, None)
    print("nobody to ask:", said["nobody"])
    return said


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
