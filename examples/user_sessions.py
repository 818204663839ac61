"""One agent for many users: what one says never reaches another, and a session goes on where it was left.

$ python examples/user_sessions.py
ann, same session: I remember 2 lines of this conversation.
ann, new session: I remember 0 lines of this conversation.
ben, ann's session: I remember 0 lines of this conversation.
the tool saw: ann, conv_1, en
the worker saw: ann
IsolationWarning: memory was asked without user_id although it holds rows of named users; ...
"""

import asyncio
import os
import sys
import warnings

from loom import (
    Agent,
    InMemoryMemory,
    IsolationWarning,
    Message,
    Role,
    ScriptedModel,
    ScriptedTurn,
    ToolCall,
    get_run_context,
    tool,
)
from loom.team import Team

MODEL = os.environ.get("LOOM_MODEL")
seen: list[str] = []


@tool
async def my_orders() -> str:
    """The orders of whoever is asking. The model can neither see nor choose who that is."""
    context = get_run_context()
    seen.append(f"{context.user_id}, {context.session_id}, {context.get('locale')}")
    return "A-17"


@tool
async def whoami() -> str:
    """The user that this runs for."""
    seen.append(str(get_run_context().user_id))
    return "noted"


def count(messages: list[Message]) -> ScriptedTurn:
    earlier = [m for m in messages if m.role in (Role.USER, Role.ASSISTANT)][:-1]
    return ScriptedTurn(f"I remember {len(earlier)} lines of this conversation.")


def calls(name: str, **args: str) -> ScriptedTurn:
    return ScriptedTurn(tool_calls=[ToolCall(tool=name, args=args)])


async def main(model: str | None = MODEL) -> list[str]:
    seen.clear()
    memory = InMemoryMemory()
    agent = Agent("Be kind.", model=model or ScriptedModel([count] * 9), memory=memory)
    await agent.run("My favorite food is soup.", user_id="ann", session_id="conv_1")
    for who, user, session in (
        ("ann, same session", "ann", "conv_1"),
        ("ann, new session", "ann", "conv_2"),
        ("ben, ann's session", "ben", "conv_1"),
    ):
        result = await agent.run("What is my favorite food?", user_id=user, session_id=session)
        print(f"{who}: {result.output}")

    clerk = Agent("Look up orders.", model=model or ScriptedModel([calls("my_orders"), count]), tools=[my_orders])
    await clerk.run("What did I order?", user_id="ann", session_id="conv_1", metadata={"locale": "en"})
    print("the tool saw:", *seen)

    seen.clear()
    worker = Agent("Say who you work for.", model=model or ScriptedModel([calls("whoami"), count]), tools=[whoami])
    manager = model or ScriptedModel([calls("delegate", worker="clerk", instructions="Go."), count])
    await Team.supervisor(workers={"clerk": worker}, model=manager).run("Who am I?", user_id="ann")
    print("the worker saw:", *seen)

    with warnings.catch_warnings():
        warnings.simplefilter("error", IsolationWarning)
        try:
            await memory.recall("soup")
        except IsolationWarning as warning:
            print(f"IsolationWarning: {warning}")
    return seen


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
