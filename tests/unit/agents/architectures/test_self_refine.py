"""Draft, criticize, improve."""

import pytest

from agents.core.architectures.self_refine import CRITIC, REFINER, SelfRefine, is_verdict
from governance.core.budget import BudgetConfig
from governance.core.standard_budget import StandardBudget
from loom.errors import TransientModelError
from loom.messages import Role, ToolCall
from tests.unit.agents.architectures.stage import INSTRUCTIONS, Stage, calls, replayed


async def test_an_answer_is_criticized_and_improved_until_the_critic_is_content():
    stage = Stage(["draft", "too short", "longer", "no issues"])

    result = await stage.run(SelfRefine(), "Write a note.")

    assert result.output == "longer"
    assert result.turns == 4
    assert stage.names() == [
        "self_refine.round_started",
        "self_refine.critique",
        "self_refine.round_started",
        "self_refine.refined",
        "self_refine.round_started",
        "self_refine.critique",
        "self_refine.converged",
    ]
    assert [payload.get("role") for payload in stage.told() if "role" in payload] == ["critic", "refiner", "critic"]


async def test_critic_and_refiner_see_the_task_the_drafts_and_the_agents_instructions():
    stage = Stage(["draft", "too short", "longer", "still short", "longest", "no issues"])

    await stage.run(SelfRefine(), "Write a note.")

    first_critic, first_refiner, second_refiner = stage.asked[1], stage.asked[2], stage.asked[4]
    assert stage.system(1).startswith(CRITIC)
    assert INSTRUCTIONS in stage.system(1)
    assert first_critic[-1].content == "Original task:\nWrite a note.\n\nOutput:\ndraft"
    assert stage.system(2) == f"{INSTRUCTIONS}\n\n{REFINER}"
    assert [(m.role, m.content.splitlines()[-1]) for m in first_refiner[1:]] == [
        (Role.USER, "Write a note."),
        (Role.ASSISTANT, "draft"),
        (Role.USER, "Answer with the improved output."),
    ]
    assert [m.content for m in second_refiner if m.role is Role.ASSISTANT] == ["draft", "longer"]
    assert "too short" in second_refiner[3].content
    assert "still short" in second_refiner[5].content


async def test_it_stops_after_its_rounds_with_the_last_output():
    stage = Stage(["draft", "bad", "better"])

    result = await stage.run(SelfRefine(max_rounds=1), "Write a note.")

    assert result.output == "better"
    assert stage.names()[-1] == "self_refine.max_rounds_reached"


async def test_praise_of_a_part_does_not_end_the_refinement():
    stage = Stage(["draft", "No issues with grammar, but every number is wrong.", "right", "No issues."])

    result = await stage.run(SelfRefine(), "Add the numbers.")

    assert result.output == "right"


@pytest.mark.parametrize(
    ("critique", "content"),
    [
        ("no issues", True),
        ("**No issues.**", True),
        ('"NO  ISSUES!"', True),
        ("I found no issues.", True),
        ("There are no issues found", True),
        ("The output has no issues.", True),
        ("All sums are right. No issues.", True),
        ("No issues. The sums are right.", True),
        ("No issues.\n\nThe sums are right.", True),
        ("No issues with grammar, but every number is wrong.", False),
        ("Grammar: no issues. Numbers: all wrong.", False),
        ("No issues. However, the total is off.", False),
        ("Apart from the total, no issues.", False),
        ("There are no issues that I would call small.", False),
        ("", False),
    ],
)
def test_only_a_verdict_is_a_verdict(critique, content):
    assert is_verdict(critique, "no issues") is content


async def test_another_stop_phrase_is_told_to_the_critic_and_obeyed():
    stage = Stage(["draft", "LGTM"])

    result = await stage.run(SelfRefine(stop_phrase="lgtm", critic_prompt="Be harsh."), "Write a note.")

    assert result.output == "draft"
    assert stage.system(1).startswith('Be harsh.\nWhen nothing needs to change, answer with exactly "lgtm"')


async def test_every_call_is_charged_to_the_user_and_a_spent_budget_keeps_the_draft():
    budget = StandardBudget(BudgetConfig(per_user_max_tokens=15_000))
    stage = Stage(["draft", "too short", "never asked"])

    result = await stage.run(SelfRefine(), "Write a note.", budget=budget)

    assert (result.output, result.interrupted) == ("draft", True)
    assert result.interruption_reason == "budget:per_user_max_tokens"
    assert budget.usage_for("ann")["tokens_total"] == 20_000
    assert budget.usage_for(None)["tokens_total"] == 0


async def test_the_conversation_of_a_session_goes_on():
    stage = Stage(["Ann it is", "no issues", "You are Ann", "no issues"])
    agent = stage.agent(SelfRefine())

    await agent.run("Call me Ann.", user_id="ann", session_id="s")
    await agent.run("Who am I?", user_id="ann", session_id="s")

    for call in (2, 3):
        assert "Call me Ann." in [m.content for m in stage.asked[call]]
        assert "Ann it is" in [m.content for m in stage.asked[call]]


async def test_the_base_uses_the_agents_tools_and_the_critic_is_offered_none():
    def add(a: int, b: int) -> int:
        return a + b

    stage = Stage([calls(ToolCall(tool="add", args={"a": 1, "b": 2})), "3", "no issues"])

    result = await stage.run(SelfRefine(), "Add.", tools=[add])

    assert result.output == "3"
    assert all(not m.tool_calls for m in stage.asked[2])


async def test_strategies_nest():
    stage = Stage(["draft", "bad", "better", "no issues", "worse", "best", "no issues"])

    result = await stage.run(SelfRefine(base=SelfRefine()), "Write a note.")

    assert result.output == "best"
    inner = [event for event in stage.events if event.payload.get("name") == "self_refine.converged"]
    assert [event.worker for event in inner] == ["round:0", ""]


async def test_a_model_that_fails_is_its_own_error():
    stage = Stage(["draft", TransientModelError("the provider is down")])

    with pytest.raises(TransientModelError, match="the provider is down"):
        await stage.run(SelfRefine(), "Write a note.")


async def test_a_finished_run_replays_without_the_model():
    stage = Stage(["draft", "bad", "better", "no issues"])

    journal, first, second = await replayed(stage, SelfRefine(), "Write a note.")

    assert first == second == "better"
    assert [key for key in journal.steps() if key.endswith("model")] == [
        "round:0/turn:1/model",
        "round:1/critic/model",
        "round:1/refiner/model",
        "round:2/critic/model",
    ]


@pytest.mark.parametrize("wrong", [{"max_rounds": 0}, {"stop_phrase": " "}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SelfRefine(**wrong)
