"""A workflow over a journal: it goes the way it went, and says what was cut short."""

from __future__ import annotations

from agents.core.agent import Agent
from agents.core.ambient import Ambient
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.runtime.engine import Answer
from agents.core.runtime.journal import JournalSession
from agents.core.workflow import END, Workflow
from governance.core.budget import BudgetConfig
from governance.core.standard_budget import StandardBudget
from loom.context import RunContext
from loom.events import Record
from loom.messages import Usage
from tests.unit.agents.journals import ListJournal


async def answer(workflow: Workflow, recorded: list[Record], journal: ListJournal) -> Answer:
    session = JournalSession("s", journal, recorded)
    return await workflow.answer("x", Ambient(RunContext("ann", "s", "run_1"), runtime=session))


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
