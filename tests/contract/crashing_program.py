"""A program that pays a bill and kills itself at a named point: `python crashing_program.py <kind> <place> <ledger>`.

`CRASH_AT` is `before_step`, `after_effect` or `after_record`. With `GO_ON` the program goes on where the last one died
and says what it came to, unless it is killed again.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio

from agents.core.agent import Agent
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.runtime.writer import Append
from agents.core.tools.tool import tool
from loom.context import get_run_context
from loom.events import Kind, Record
from loom.messages import Role, ToolCall
from tests.contract.durable import opened

CRASH_AT = os.environ.get("CRASH_AT", "")
EFFECT: Any = os.environ.get("EFFECT", "keyed")
BILLS = 2


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def answer(messages: Any) -> ScriptedTurn:
    """Ask for one bill after the other. A function of the conversation, so a resumed program says the same."""
    results = [message.content for message in messages if message.role is Role.TOOL]
    if len(results) < BILLS:
        return ScriptedTurn(tool_calls=[ToolCall(tool="pay", args={"bill": len(results) + 1})])
    return ScriptedTurn(" | ".join(results))


def until(append: Append, kind: str) -> tuple[Record, ...]:
    """The records up to the end of the second bill's call."""
    at = next(n for n, r in enumerate(append.records) if r.kind == kind and r.step_key.startswith("turn:2/tool"))
    return tuple(append.records[: at + 1])


def touches(appends: Sequence[Append], kind: str) -> bool:
    """Whether the second bill's call begins or ends here."""
    return any(r.kind == kind and r.step_key.startswith("turn:2/tool") for a in appends for r in a.records)


async def main(kind: str, place: str, ledger: Path) -> None:
    @tool(effect=EFFECT)
    def pay(bill: int) -> str:
        """Pay a bill."""
        with ledger.open("a") as lines:
            lines.write(f"{bill} {get_run_context().idempotency_key}\n")
        if bill == BILLS and CRASH_AT == "after_effect":
            time.sleep(0.2 if EFFECT == "read" else 0)  # nobody waited for what came before: it is written by now
            die()
        return f"paid {bill}"

    async with opened(kind, place) as runtime:
        submit = runtime.store.submit

        def cut_off(runs: Any, appends: Sequence[Append], done: Any) -> None:
            if CRASH_AT == "before_step" and touches(appends, Kind.TOOL_STARTED):
                [only] = appends
                submit(runs, [replace(only, records=only.records[:-1])], lambda *_: die())
            elif CRASH_AT == "after_record" and touches(appends, Kind.TOOL_COMPLETED):
                [only] = appends  # what follows may be written together with it
                submit(runs, [replace(only, records=until(only, Kind.TOOL_COMPLETED))], lambda *_: die())
            else:
                submit(runs, appends, done)

        runtime.store.submit = cut_off  # type: ignore[method-assign]
        agent = Agent("You pay.", model=ScriptedModel([answer] * 10), tools=[pay], runtime=runtime)
        if "GO_ON" not in os.environ:
            await agent.run("pay all", user_id="ann", session_id="s")
        for unfinished in await runtime.unfinished(user_id="ann"):
            result = await agent.resume(unfinished.session_id, unfinished.input, user_id=unfinished.user_id)
            sys.stdout.write(result.output)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], Path(sys.argv[3]))
