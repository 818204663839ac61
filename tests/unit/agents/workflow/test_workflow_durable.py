"""A workflow on a runtime of its own, and under a budget of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from agents.core.agent import Agent
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.runtime.journaled import JournaledRuntime
from agents.core.runtime.sqlite import SqliteRuntime
from agents.core.tools.tool import tool
from agents.core.workflow import Workflow
from governance.core.budget import BudgetConfig
from governance.core.retry import RetryPolicy
from governance.core.standard_budget import StandardBudget
from loom.context import get_run_context
from loom.errors import PermissionDenied, ToolError
from loom.messages import ToolCall, Usage


class Power:
    """Steps that note what they do, one of which fails while there is no power."""

    def __init__(self) -> None:
        self.on, self.done = False, []

    async def first(self, value: Any) -> str:
        self.done.append(f"first {value}")
        return f"{value}!"

    async def second(self, value: str) -> str:
        if not self.on:
            raise ConnectionError("no power")
        self.done.append(f"second {value}")
        return value.upper()

    def workflow(self, **options: Any) -> Workflow:
        return Workflow.chain([self.first, self.second], **options)


async def test_a_run_that_was_cut_off_goes_on_after_the_steps_that_are_done(tmp_path: Path) -> None:
    power = Power()
    runtime = SqliteRuntime(tmp_path / "runs.db")
    with pytest.raises(ConnectionError, match="no power"):
        await power.workflow(runtime=runtime).run("go", user_id="ann", session_id="s")
    await runtime.aclose()

    power.on = True
    runtime = SqliteRuntime(tmp_path / "runs.db")
    result = await power.workflow(runtime=runtime).resume("s", "go", user_id="ann")
    await runtime.aclose()

    assert (result.output, result.visited) == ("GO!", ["first", "second"])
    assert power.done == ["first go", "second go!"]


async def test_a_new_input_comes_after_the_run_that_was_cut_off() -> None:
    power, runtime = Power(), JournaledRuntime()
    workflow = power.workflow(runtime=runtime)
    with pytest.raises(ConnectionError):
        await workflow.run("old", user_id="ann", session_id="s")
    power.on = True

    result = await workflow.resume("s", "new", user_id="ann")
    again = await workflow.resume("s", "new", user_id="ann")

    assert (result.output, again.output) == ("NEW!", "NEW!")
    assert power.done == ["first old", "second old!", *["first new", "second new!"] * 2]


async def test_nobody_resumes_the_run_of_another_user() -> None:
    power, runtime = Power(), JournaledRuntime()
    workflow = power.workflow(runtime=runtime)
    with pytest.raises(ConnectionError):
        await workflow.run("secret", user_id="ann", session_id="s")
    power.on = True

    result = await workflow.resume("s", "mine", user_id="cem")

    assert result.output == "MINE!"
    assert [run.user_id for run in await runtime.unfinished()] == ["ann"]


async def test_a_state_is_the_same_state_when_it_is_resumed() -> None:
    class Case(BaseModel):
        mail: str
        answer: str = ""

    power, runtime = Power(), JournaledRuntime()

    async def read(case: Case) -> dict[str, str]:
        power.done.append(f"read {case.mail}")
        return {"answer": "soon"}

    async def send(case: Case) -> Case:
        await power.second(case.answer)
        return case

    workflow = Workflow.chain([read, send], state=Case, runtime=runtime)
    with pytest.raises(ConnectionError):
        await workflow.run(Case(mail="help"), user_id="ann", session_id="s")
    power.on = True
    result = await workflow.resume("s", Case(mail="help"), user_id="ann")

    assert result.output == Case(mail="help", answer="soon")
    assert power.done == ["read help", "second soon"]


@pytest.mark.parametrize("as_tool", [True, False])
async def test_a_step_that_is_tried_again_has_the_key_of_its_first_try_also_after_a_crash(as_tool: bool) -> None:
    keys: list[str | None] = []

    async def charge(euros: str) -> str:
        """Charge."""
        keys.append(get_run_context().idempotency_key)
        if len(keys) < 3:
            raise ConnectionError("no answer")
        return f"charged {euros}"

    retry = RetryPolicy(max_attempts=2, initial_delay_s=0.001, jitter=0)
    workflow = Workflow("bill", runtime=JournaledRuntime())
    workflow.add_node("charge", tool(charge) if as_tool else charge, retry=retry).set_start("charge")
    workflow.add_router("charge", lambda said: keys[0], {}, default="again")
    workflow.add_node("again", charge)
    failures = ToolError if as_tool else ConnectionError
    with pytest.raises(failures, match="no answer"):
        await workflow.run("5", user_id="ann", session_id="s")

    result = await workflow.resume("s", "5", user_id="ann")

    assert result.output == "charged charged 5"
    assert len(set(keys[:-1])) == 1
    assert keys[0] != keys[-1]
    assert "step:charge#1" in str(keys[0])


async def test_a_call_that_cannot_be_undone_is_not_made_again_when_the_run_is_resumed() -> None:
    calls: list[str] = []

    @tool(destructive=True, approval=False)
    async def wipe(what: str) -> str:
        """Wipe."""
        calls.append(what)
        raise ConnectionError("no answer")

    workflow = Workflow.chain([wipe], runtime=JournaledRuntime())
    for run in (workflow.run("all", session_id="s"), workflow.resume("s", "all")):
        with pytest.raises(ToolError, match="no answer"):
            await run

    assert calls == ["all"]


async def test_behind_a_tool_of_a_durable_agent_its_steps_are_in_the_agents_journal() -> None:
    power, runtime = Power(), JournaledRuntime()
    power.on = True
    made = power.workflow(name="status", runtime=JournaledRuntime()).as_tool()
    lines = [ScriptedTurn(tool_calls=[ToolCall(tool="status", args={"input": "go"})]), ScriptedTurn("Done.")]

    await Agent("", model=ScriptedModel(lines), tools=[made], runtime=runtime).run("Go.", session_id="s")

    keys = [key for _, key in runtime.store.step_keys()]
    assert "turn:1/tool:call_1/step:first#1" in keys


async def test_the_budget_of_a_workflow_is_that_of_its_agents_that_have_none() -> None:
    def agent(name: str, **options: Any) -> Agent:
        line = ScriptedTurn(name, usage=Usage(output_tokens=5))
        return Agent("", name=name, model=ScriptedModel([line]), **options)

    budget, own = (StandardBudget(BudgetConfig(per_user_max_tokens=cap)) for cap in (5, 100))
    nested = Workflow.chain([agent("b"), agent("c", budget=own)], name="nested")

    result = await Workflow.chain([agent("a"), nested], budget=budget).run("x", user_id="ann")

    assert (result.output, result.total_tokens) == ("c", 10)
    assert result.interruption_reason == "step:nested#1:step:b#1:budget:per_user_max_tokens"
    assert [b.usage_for("ann")["tokens_total"] for b in (budget, own)] == [5, 5]


async def test_a_tool_step_under_a_budget_still_asks_for_approval() -> None:
    @tool(approval=True)
    async def send(to: str) -> str:
        """Send."""
        raise AssertionError("nobody approved")

    with pytest.raises(PermissionDenied, match="send"):
        await Workflow.chain([send], budget=StandardBudget(BudgetConfig(max_tokens=5))).run("bob")
