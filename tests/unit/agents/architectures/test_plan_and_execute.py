"""Plan once, do step after step, write the answer."""

import pytest
from pydantic import BaseModel

from agents.core.architectures.plan_and_execute import (
    EMPTY,
    EXECUTOR,
    PLANNER,
    SYNTHESIZER,
    PlanAndExecute,
    steps_of,
)
from agents.core.architectures.self_refine import SelfRefine
from governance.core.budget import BudgetConfig
from governance.core.permissions import StandardPermissions
from governance.core.standard_budget import StandardBudget
from loom.errors import TransientModelError
from loom.messages import ToolCall
from tests.unit.agents.architectures.stage import INSTRUCTIONS, Stage, calls, replayed

PLAN = '["find the price", "add the tax"]'


class Watched(PlanAndExecute):
    """Keeps the session that it worked on."""

    def run(self, session, deps, prompt):
        self.session = session
        return super().run(session, deps, prompt)


class Bill(BaseModel):
    total: int


def price(item: str) -> int:
    """What an item costs."""
    return 10


async def test_the_steps_are_done_in_order_and_the_answer_is_written_from_their_results():
    stage, strategy = Stage([PLAN, "10", "12", "It costs 12."]), Watched()

    result = await stage.run(strategy, "What does tea cost?")

    assert (result.output, result.turns) == ("It costs 12.", 4)
    assert stage.names() == [
        "plan.planner_started",
        "plan.created",
        "plan.step_started",
        "plan.step_completed",
        "plan.step_started",
        "plan.step_completed",
        "plan.synthesizer_started",
        "plan.completed",
    ]
    assert strategy.session.metadata["plan"]["steps"] == [
        {"id": "1", "description": "find the price"},
        {"id": "2", "description": "add the tax"},
    ]
    assert strategy.session.metadata["step_results"][1] == {
        "step_id": "2",
        "description": "add the tax",
        "output": "12",
    }


async def test_each_role_sees_the_task_what_it_needs_and_the_agents_instructions():
    stage = Stage([PLAN, "10", "12", "It costs 12."])

    await stage.run(PlanAndExecute(), "What does tea cost?", tools=[price])

    assert stage.system(0).startswith(PLANNER)
    assert stage.question(0) == "Task:\nWhat does tea cost?\n\nThe agent's tools:\n- price: What an item costs."
    assert stage.system(2).startswith(EXECUTOR)
    assert stage.question(2) == (
        "Task:\nWhat does tea cost?\n\nPlan:\n1. find the price\n2. add the tax\n\n"
        "Results so far:\n1. find the price\n10\n\nCarry out step 2: add the tax"
    )
    assert stage.system(3) == f"{INSTRUCTIONS}\n\n{SYNTHESIZER}"
    assert stage.question(3).endswith("Results so far:\n1. find the price\n10\n2. add the tax\n12")
    assert all(INSTRUCTIONS in stage.system(call) for call in range(4))


async def test_a_step_may_use_the_agents_tools():
    stage = Stage([PLAN, calls(ToolCall(tool="price", args={"item": "tea"})), "10", "12", "It costs 12."])

    result = await stage.run(PlanAndExecute(), "What does tea cost?", tools=[price])

    assert result.output == "It costs 12."
    assert stage.question(2) == "10"


async def test_a_denied_tool_is_told_and_never_run():
    ran = []

    def wipe(path: str) -> None:
        ran.append(path)

    stage = Stage(['["wipe"]', calls(ToolCall(tool="wipe", args={"path": "/"})), "I may not", "Not done."])

    await stage.run(PlanAndExecute(), "Wipe.", tools=[wipe], permissions=StandardPermissions(denied_tools=["wipe"]))

    assert ran == []
    assert stage.question(2).startswith("DENIED")


async def test_a_plan_is_cut_at_the_most_steps():
    stage = Stage(['["a", "b", "c"]', "1", "2", "done"])

    await stage.run(PlanAndExecute(max_steps=2), "Go.")

    assert stage.told()[1]["steps"] == ["a", "b"]
    assert "at most 2 strings" in stage.system(0)


async def test_an_empty_plan_ends_with_a_message():
    stage = Stage(["[]"])

    result = await stage.run(PlanAndExecute(), "Go.")

    assert (result.output, len(stage.asked)) == (EMPTY, 1)
    assert stage.names()[-1] == "plan.empty_plan"


@pytest.mark.parametrize(
    "said",
    [
        '["a", "b"]',
        'Here is it:\n```json\n["a", "b"]\n```',
        '[{"description": "a"}, {"step": "b"}]',
        '[{"id": 1, "name": "a"}, " b "]',
        '{"steps": ["a", "b"]}',
        "1. a\n2. b",
        "1) a\n   - what that takes\n2) b",
        "The plan:\n- a\n* b\n",
        "See [1] for why.\n1. a\n2. b",
    ],
)
def test_plans_are_read_in_every_common_spelling(said):
    assert steps_of(said) == ["a", "b"]


@pytest.mark.parametrize("said", ["", "I cannot plan that.", "[]", '{"steps": []}', "42"])
def test_what_is_no_plan_has_no_steps(said):
    assert steps_of(said) == []


async def test_calls_are_charged_to_the_user_and_a_spent_budget_ends_it():
    budget = StandardBudget(BudgetConfig(per_user_max_tokens=20_000))
    stage = Stage([PLAN, "10", "never asked"])

    result = await stage.run(PlanAndExecute(), "What does tea cost?", budget=budget)

    assert result.interruption_reason == "budget:per_user_max_tokens"
    assert budget.usage_for("ann")["tokens_total"] == 20_000
    assert budget.usage_for(None)["tokens_total"] == 0


async def test_the_conversation_of_a_session_goes_on_in_every_role():
    stage = Stage(['["a"]', "1", "one", '["b"]', "2", "two"])
    agent = stage.agent(PlanAndExecute())

    await agent.run("First?", user_id="ann", session_id="s")
    await agent.run("Second?", user_id="ann", session_id="s")

    for call in (3, 4, 5):
        assert [m.content for m in stage.asked[call]][1:3] == ["First?", "one"]


async def test_the_answer_can_be_typed_and_an_answer_that_does_not_fit_is_sent_back():
    budget = StandardBudget(BudgetConfig())
    stage = Stage(['["a"]', "12", "It is twelve.", '{"total": 12}'])

    result = await stage.run(PlanAndExecute(), "What does tea cost?", output_schema=Bill, budget=budget)

    assert result.parsed == Bill(total=12)
    assert budget.usage_for("ann")["tokens_total"] == 40_000
    assert [m.content for m in stage.asked[3]][-3:-1] == ["What does tea cost?", "It is twelve."]


async def test_it_can_be_the_base_of_another_strategy():
    stage = Stage(['["a"]', "1", "draft", "no issues"])

    result = await stage.run(SelfRefine(base=PlanAndExecute()), "Go.")

    assert result.output == "draft"


async def test_a_model_that_fails_is_its_own_error():
    with pytest.raises(TransientModelError, match="down"):
        await Stage([PLAN, TransientModelError("down")]).run(PlanAndExecute(), "Go.")


async def test_a_step_that_takes_too_many_turns_ends_the_run():
    again = calls(ToolCall(tool="price", args={"item": "tea"}))
    stage = Stage([PLAN, again, again, again])

    result = await stage.run(PlanAndExecute(), "Go.", tools=[price], max_turns=2)

    assert result.interruption_reason == "max_turns_exceeded"
    assert len(stage.asked) == 3


async def test_a_finished_run_replays_without_the_model():
    stage = Stage([PLAN, calls(ToolCall(tool="price", args={"item": "tea"})), "10", "12", "It costs 12."])

    journal, first, second = await replayed(stage, PlanAndExecute(), "What does tea cost?", tools=[price])

    assert first == second == "It costs 12."
    assert [key for key in journal.steps() if "re" not in key.rsplit("/", 1)[-1]] == [
        "plan/model",
        "step:1/turn:2/model",
        "step:1/turn:2/tool:call_1",
        "step:1/turn:3/model",
        "step:2/turn:4/model",
        "synthesize/model",
    ]


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="max_steps"):
        PlanAndExecute(max_steps=0)
