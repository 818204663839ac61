"""The SDK under trio: what it does with loops, threads and timers of its own is written for both."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest

from agents.core.agent import Agent
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.tools.tool import tool
from agents.core.workflow import Workflow
from audit.core.file_log import FileAuditLog
from governance.core.budget import BudgetConfig
from governance.core.standard_budget import StandardBudget
from loom.errors import TransientModelError
from loom.events import Event, EventKind
from loom.messages import Message, Role, ToolCall


def under_trio(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """In a thread: the test itself may have a loop, and two kinds of them do not nest."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(anyio.run, work, backend="trio").result(60)


def calling(*calls: str) -> ScriptedTurn:
    return ScriptedTurn(tool_calls=[ToolCall(tool=name, args={"text": "a"}) for name in calls])


@tool
def slow(text: str) -> str:
    """In a thread."""
    return text.upper()


@tool
async def quick(text: str) -> str:
    """On the loop."""
    await anyio.sleep(0)
    return text * 2


def everything(folder: Path, *turns: Any) -> Agent:
    """An agent with every layer, whose journal, memory and audit log lie in files."""
    return Agent(
        "You help.",
        model=ScriptedModel(list(turns)),
        tools=[slow, quick],
        memory=f"sqlite:{folder / 'memory.db'}",
        runtime=f"sqlite:{folder / 'runs.db'}",
        budget=StandardBudget(BudgetConfig(max_tokens=10**6)),
        audit_log=folder / "audit.jsonl",
        telemetry="memory",
    )


def test_runs_with_every_layer_one_after_the_other(tmp_path: Path) -> None:
    agent = everything(tmp_path, *[calling("slow", "quick"), ScriptedTurn("done")] * 5)

    async def runs() -> list[str]:
        return [(await agent.run("go", user_id="ann", session_id=f"s{number}")).output for number in range(5)]

    assert under_trio(runs) == ["done"] * 5

    log = FileAuditLog(tmp_path / "audit.jsonl")

    async def audited() -> tuple[bool, int]:
        return bool(await log.verify()), len(await log.query(action="tool_result"))

    assert under_trio(audited) == (True, 10)


def test_runs_at_once_share_the_writer_of_a_journal(tmp_path: Path) -> None:
    def say(messages: list[Message]) -> ScriptedTurn:
        return ScriptedTurn("done") if messages[-1].role is Role.TOOL else calling("slow", "quick")

    agent = everything(tmp_path, *[say] * 40)
    outputs: list[str] = []

    async def one(number: int) -> None:
        outputs.append((await agent.run("go", session_id=f"s{number}")).output)

    async def runs() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(one, number)

    under_trio(runs)
    assert outputs == ["done"] * 20


def test_a_stream_that_is_left_leaves_its_reader_alive(tmp_path: Path) -> None:
    agent = everything(tmp_path, calling("quick"), ScriptedTurn("done"))

    async def leave() -> str:
        async with aclosing(agent.stream("go", session_id="s")) as events:  # trio wants it closed by hand
            async for event in events:
                if event.kind is EventKind.TOOL_CALL:
                    break
        await anyio.sleep(0)
        return "alive"

    assert under_trio(leave) == "alive"


def test_a_run_that_failed_goes_on_in_another_loop(tmp_path: Path) -> None:
    def fail(messages: list[Message]) -> ScriptedTurn:
        raise TransientModelError("away")

    async def first() -> None:
        with pytest.raises(TransientModelError):
            await everything(tmp_path, calling("slow"), fail).run("go", session_id="s")

    async def second() -> tuple[str, int]:
        seen: list[Event] = []

        async def hear(event: Event) -> None:
            seen.append(event)

        result = await everything(tmp_path, ScriptedTurn("done")).resume("s", "go", emit=hear)
        return result.output, sum(event.kind is EventKind.TOOL_RESULT for event in seen)

    under_trio(first)
    assert under_trio(second) == ("done", 1)


def test_a_tool_that_takes_too_long_is_left_behind(tmp_path: Path) -> None:
    released = threading.Event()

    @tool(timeout=0.2)
    def stuck() -> None:
        """Wait."""
        released.wait(30)

    turn = ScriptedTurn(tool_calls=[ToolCall(tool="stuck")])
    agent = Agent("", model=ScriptedModel([turn, ScriptedTurn("done")]), tools=[stuck])

    async def run() -> str:
        with anyio.fail_after(10):
            output = (await agent.run("go")).output
        released.set()
        return output

    assert under_trio(run) == "done"


def test_a_workflow_and_its_agents() -> None:
    flow = Workflow.chain([Agent("", model="echo"), lambda text: text.upper()])

    async def run() -> str:
        return str((await flow.run("go")).output)

    assert "GO" in under_trio(run)
