"""A run that is cut off goes on where it was: what its journal holds is not done again.

    $ python examples/durable.py
    charging 50 euros
    the power fails
    unfinished: 1 run of ann
    Charged and mailed.
    charged once: True
    unfinished: 0 runs

With `runtime="sqlite:./runs.db"` the journal is one file; another process may take the run up.
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from loom import Agent, Message, Role, ScriptedModel, ScriptedTurn, ToolCall, get_run_context, tool
from loom.runtime import SqliteRuntime

MODEL = os.environ.get("LOOM_MODEL")
charged: list[str | None] = []
power = {"is_on": False}


class PowerCut(BaseException):
    """What no program catches."""


@tool(effect="keyed")
async def charge(euros: int) -> str:
    """Charge the customer. The key is the same for the same call, also after a crash: hand it to the bank."""
    print(f"charging {euros} euros")
    charged.append(get_run_context().idempotency_key)
    return "charged"


@tool(effect="idempotent")
async def mail() -> str:
    """Send the invoice."""
    if not power["is_on"]:
        print("the power fails")
        raise PowerCut
    return "mailed"


def script(messages: list[Message]) -> ScriptedTurn:
    done = [message.content for message in messages if message.role is Role.TOOL]
    if not done:
        return ScriptedTurn(tool_calls=[ToolCall(tool="charge", args={"euros": 50})])
    return ScriptedTurn("Charged and mailed.") if "mailed" in done else ScriptedTurn(tool_calls=[ToolCall(tool="mail")])


def clerk(model: str | None, runtime: SqliteRuntime) -> Agent:
    """The agent as each start of the program makes it."""
    return Agent("You bill.", model=model or ScriptedModel([script] * 9), tools=[charge, mail], runtime=runtime)


async def main(model: str | None = MODEL) -> str:
    charged.clear()
    power["is_on"] = False
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder, "runs.db")
        runtime = SqliteRuntime(journal)
        try:
            result = await clerk(model, runtime).run("Bill 50 euros.", user_id="ann", session_id="bill-17")
        except PowerCut:
            await runtime.aclose()

        power["is_on"] = True
        runtime = SqliteRuntime(journal)  # the next process
        for run in await runtime.unfinished():
            print(f"unfinished: 1 run of {run.user_id}")
            result = await clerk(model, runtime).resume(run.session_id, run.input, user_id=run.user_id)
        print(result.output)
        print("charged once:", len(charged) == 1)
        print(f"unfinished: {len(await runtime.unfinished())} runs")
        await runtime.aclose()
    return result.output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
