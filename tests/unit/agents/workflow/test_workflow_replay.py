"""A workflow over a journal: it goes the way it went, and says what was cut short."""

from __future__ import annotations

from typing import Any

import pytest

from agents.core.agent import Agent
from agents.core.ambient import Ambient
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.runtime.engine import Answer
from agents.core.runtime.journal import JournalSession
from agents.core.workflow import END, START, Workflow
from governance.core.budget import BudgetConfig
from governance.core.standard_budget import StandardBudget
from loom.context import RunContext
from loom.events import Record
from loom.messages import Usage
from tests.unit.agents.journals import ListJournal


async def answer(workflow: Workflow, recorded: list[Record], journal: ListJournal) -> Answer:
    session = JournalSession("s", journal, recorded)
    return await workflow.answer("x", Ambient(RunContext("ann", "s", "run_1"), runtime=session))


@pytest.mark.parametrize("source", ["decide", START])
async def test_a_replay_goes_the_way_that_was_chosen_whatever_the_function_would_say_now(source: Any) -> None:
    wind, went = ["left"], []

    async def look(value: str) -> str:
        return wind[-1]

    async def decide(value: str) -> str:
        return value

    async def left(value: str) -> str:
        went.append("left")
        return "left"

    async def right(value: str) -> str:
        went.append("right")
        return "right"

    workflow = Workflow().add_node("decide", decide).add_node("left", left).add_node("right", right)
    workflow.add_router(source, look, {"left": "left", "right": "right"})
    if source != START:
        workflow.set_start("decide")

    journal = ListJournal()
    first = await answer(workflow, [], journal)
    wind.append("right")
    chosen = next(place for place, record in enumerate(journal.records) if record.data.get("value") == "left")

    for cut in range(chosen + 1, len(journal.records) + 1):
        assert await answer(workflow, journal.records[:cut], ListJournal()) == first
    assert set(went) == {"left"}


async def test_an_agent_that_is_cut_short_says_so_through_every_workflow_around_it() -> None:
    budget = StandardBudget(BudgetConfig(per_user_max_tokens=5))
    lines = [ScriptedTurn("half", usage=Usage(output_tokens=5)), ScriptedTurn("unheard")]
    agent = Agent("", model=ScriptedModel(lines), name="writer", budget=budget)
    nested = Workflow("nested").add_node("a", agent).add_node("b", agent).add_edge("a", "b").set_start("a")

    result = await Workflow.chain([nested]).run("x", user_id="ann")
    answered = await answer(Workflow.chain([nested]).add_edge("nested", END), [], ListJournal())

    assert result.interrupted
    assert result.interruption_reason == "step:nested#1:step:b#1:budget:per_user_max_tokens"
    assert answered.interruption_reason == "step:nested#1:step:a#1:budget:per_user_max_tokens"


async def test_a_workflow_that_nothing_cut_short_says_nothing_of_it() -> None:
    result = await Workflow.chain([Agent("", model="echo")]).run("x")

    assert (result.interrupted, result.interruption_reason) == (False, None)
