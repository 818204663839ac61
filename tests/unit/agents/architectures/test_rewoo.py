"""All tool calls planned at once, run without the model, then the answer."""

import json
from itertools import pairwise

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.architectures.reflexion import Reflexion
from agents.core.architectures.rewoo import PLANNER, SOLVER, UNREADABLE, ReWOO, ReWOOPlan, ReWOOStep
from agents.core.tools.tool import tool
from audit.core.log import InMemoryAuditLog
from governance.core.budget import BudgetConfig
from governance.core.permissions import PermissionDecision, StandardPermissions
from governance.core.standard_budget import StandardBudget
from loom.errors import TransientModelError
from loom.events import EventKind
from tests.unit.agents.architectures.stage import INSTRUCTIONS, Stage, replayed


def plan(*steps):
    return json.dumps([{"id": f"E{n}", "tool": name, "args": args} for n, (name, args) in enumerate(steps, start=1)])


def double(n: int) -> int:
    """Twice a number."""
    return 2 * n


def say(text: str) -> str:
    return text


DOUBLE_TWICE = plan(("double", {"n": 3}), ("double", {"n": "{{E1}}"}))


async def test_two_model_calls_and_the_tools_between_them():
    stage = Stage([DOUBLE_TWICE, "It is 12."])

    result = await stage.run(ReWOO(), "Double 3 twice.", tools=[double])

    assert (result.output, result.turns) == ("It is 12.", 2)
    assert stage.names() == [
        "rewoo.planner_started",
        "rewoo.plan_created",
        "rewoo.level_started",
        "rewoo.step_completed",
        "rewoo.level_started",
        "rewoo.step_completed",
        "rewoo.solver_started",
        "rewoo.completed",
    ]
    assert [e.payload["result"].output for e in stage.events if e.kind is EventKind.TOOL_RESULT] == [6, 12]


async def test_planner_and_solver_see_the_task_the_tools_the_evidence_and_the_instructions():
    stage = Stage([DOUBLE_TWICE, "It is 12."])

    await stage.run(ReWOO(), "Double 3 twice.", tools=[double])

    assert stage.system(0).startswith(PLANNER)
    assert INSTRUCTIONS in stage.system(0)
    assert "at most 8 calls" in stage.system(0)
    assert "- double: Twice a number.\n  arguments: {" in stage.question(0)
    assert stage.system(1) == f"{INSTRUCTIONS}\n\n{SOLVER}"
    assert stage.question(1) == (
        'Task:\nDouble 3 twice.\n\nEvidence:\nE1 = double({"n":3})\n6\n\nE2 = double({"n":"{{E1}}"})\n12'
    )


@pytest.mark.parametrize("spelling", ["{{E1}}", "{E1}", "#E1", "{{ E1 }}", "{#E1}"])
async def test_every_spelling_of_a_placeholder_is_filled(spelling):
    stage = Stage([plan(("double", {"n": 3}), ("say", {"text": f"It is {spelling}!"})), "done"])

    await stage.run(ReWOO(), "Go.", tools=[double, say])

    assert stage.question(1).endswith("\nIt is 6!")


async def test_the_spelling_that_the_planner_is_taught_is_understood():
    step = ReWOOStep(id="E2", tool="read", args={"url": "{{E1}}"})

    assert "{{E1}}" in PLANNER
    assert step.depends_on == ("E1",)


async def test_a_placeholder_that_stands_alone_is_filled_with_the_value_itself_at_any_depth():
    got = []

    def total(numbers: list[int], extra: dict[str, int]) -> int:
        got.append((numbers, extra))
        return sum(numbers)

    def some() -> list[int]:
        return [1, 2]

    stage = Stage([plan(("some", {}), ("double", {"n": 2}), ("total", {"numbers": "#E1", "extra": {"x": "{E2}"}})), ""])

    await stage.run(ReWOO(), "Go.", tools=[some, double, total])

    assert got == [([1, 2], {"x": 4})]


async def test_steps_that_do_not_need_each_other_run_at_the_same_time_and_the_others_wait():
    log = []

    async def work(name: str, needs: str = "") -> str:
        log.append(f"{name} starts")
        await anyio.sleep(0.01)
        log.append(f"{name} ends")
        return name

    steps = plan(
        ("work", {"name": "last", "needs": "{{E2}} and {{E3}}"}), ("work", {"name": "a"}), ("work", {"name": "b"})
    )

    await Stage([steps, "done"]).run(ReWOO(), "Go.", tools=[work])
    assert log[:2] == ["a starts", "b starts"]
    assert log[4:] == ["last starts", "last ends"]

    log.clear()
    await Stage([steps, "done"]).run(ReWOO(parallel_levels=False), "Go.", tools=[work])
    assert log == ["a starts", "a ends", "b starts", "b ends", "last starts", "last ends"]


async def test_a_cycle_is_reported_and_nothing_runs():
    ran = []

    def note(text: str) -> None:
        ran.append(text)

    stage = Stage([plan(("note", {"text": "x"}), ("note", {"text": "{{E3}}"}), ("note", {"text": "#E2"}))])

    result = await stage.run(ReWOO(), "Go.", tools=[note])

    assert "E2 → E3 → E2" in result.output
    assert stage.names()[-1] == "rewoo.cyclic_plan"
    assert (ran, len(stage.asked)) == ([], 1)


def test_a_step_that_needs_itself_is_a_cycle():
    assert ReWOOPlan(steps=[ReWOOStep(id="E1", tool="t", args={"x": "{{E1}}"})]).cycle() == ["E1", "E1"]


@given(st.dictionaries(st.integers(1, 6), st.sets(st.integers(1, 6), max_size=3), max_size=6))
def test_steps_come_after_what_they_need_and_what_never_comes_waits_for_a_cycle(needs):
    whole = ReWOOPlan(
        steps=[
            ReWOOStep(id=f"E{n}", tool="t", args={"x": [f"#E{other}" for other in sorted(others)]})
            for n, others in needs.items()
        ]
    )
    steps = {step.id: step for step in whole.steps}

    seen: set[str] = set()
    for level in whole.levels():
        assert all(set(step.depends_on) & steps.keys() <= seen for step in level)
        seen |= {step.id for step in level}
    cycle = whole.cycle()

    assert bool(cycle) == (seen != steps.keys())
    assert all(needed in steps[step].depends_on for step, needed in pairwise(cycle))
    assert not cycle or cycle[0] == cycle[-1]


async def test_a_denied_tool_is_never_run_and_the_solver_is_told():
    ran, asked = [], []

    def bash(command: str) -> str:
        ran.append(command)
        return "ok"

    async def watch(call, user_id=None):
        asked.append(call.tool)
        return PermissionDecision.allow_()

    log = InMemoryAuditLog()
    stage = Stage([plan(("bash", {"command": "rm -rf ~"}), ("say", {"text": "{{E1}}"})), "I may not."])
    agent = stage.agent(
        ReWOO(), tools=[bash, say], permissions=StandardPermissions(denied_tools=["bash"]), audit_log=log
    )
    agent.before_tool(watch)

    await agent.run("Clean up.", user_id="ann", emit=stage.hear)

    assert ran == []
    assert asked == ["bash"]
    assert "DENIED" in stage.question(1)
    assert "not run: it needs E1, which failed" in stage.question(1)
    assert "tool_result" in [entry.action for entry in await log.query()]


async def test_a_tool_that_demands_approval_asks_for_it():
    asked = []

    @tool(approval=True)
    def pay(amount: int) -> str:
        return "paid"

    async def approve(call, user_id):
        asked.append((call.tool, call.args, user_id))
        return True

    stage = Stage([plan(("double", {"n": 3}), ("pay", {"amount": "{{E1}}"})), "done"])

    await stage.run(ReWOO(), "Pay.", tools=[double, pay], approval_handler=approve)

    assert asked == [("pay", {"amount": 6}, "ann")]
    assert stage.question(1).endswith("\npaid")


async def test_a_tool_that_fails_or_does_not_exist_is_told_to_the_solver():
    def broken() -> None:
        raise OSError("no disk")

    stage = Stage([plan(("broken", {}), ("dubble", {"n": 1}), ("double", {"n": "{{E9}}"})), "Sorry."])

    result = await stage.run(ReWOO(), "Go.", tools=[broken, double])

    assert result.output == "Sorry."
    assert "no disk" in stage.question(1)
    assert "did you mean 'double'" in stage.question(1)
    assert "it needs E9, which is not in the plan" in stage.question(1)


async def test_evidence_that_is_too_long_is_cut_and_the_whole_of_it_reaches_the_next_step():
    def much() -> str:
        return "x" * 200_000

    def length(text: str) -> int:
        return len(text)

    stage = Stage([plan(("much", {}), ("length", {"text": "{{E1}}"})), "done"])

    await stage.run(ReWOO(), "Go.", tools=[much, length])

    assert len(stage.question(1)) < 60_000
    assert stage.question(1).endswith("\n200000")


async def test_a_result_without_a_json_form_is_evidence_all_the_same():
    def picture() -> bytes:
        return b"\xff"

    def loop() -> list:
        itself = []
        itself.append(itself)
        return itself

    stage = Stage([plan(("picture", {}), ("loop", {})), "Seen."])

    result = await stage.run(ReWOO(), "Look.", tools=[picture, loop])

    assert result.output == "Seen."
    assert "E1 = picture({})\nbase64:" in stage.question(1)
    assert "E2 = loop({})\n" in stage.question(1)


async def test_a_task_without_tools_is_answered_at_once():
    stage = Stage(["[]", "Hello!"])

    result = await stage.run(ReWOO(), "Hi")

    assert result.output == "Hello!"
    assert stage.names() == ["rewoo.planner_started", "rewoo.empty_plan", "rewoo.solver_started", "rewoo.completed"]


async def test_a_plan_that_cannot_be_read_is_asked_for_once_more():
    stage = Stage(["First I double it.", DOUBLE_TWICE, "It is 12."])

    result = await stage.run(ReWOO(), "Double 3 twice.", tools=[double])

    assert result.output == "It is 12."
    assert [m.content for m in stage.asked[1]][-2] == "First I double it."
    assert stage.question(1).startswith("That is no plan I can read")


async def test_a_plan_that_stays_unreadable_ends_with_a_message():
    stage = Stage(["hm", '[{"tool": 3}]'])

    result = await stage.run(ReWOO(), "Double 3 twice.")

    assert result.output == UNREADABLE
    assert stage.names()[-1] == "rewoo.empty_plan"


@pytest.mark.parametrize(
    "said",
    [
        'Plan:\n```json\n[{"id": "#E1", "tool": "double", "args": {"n": 3}}]\n```',
        '{"plan": [{"id": 1, "tool": "double", "args": {"n": 3}}]}',
        '[{"tool": "double", "args": {"n": 3}}]',
        '[{"id": "e1", "tool": "double", "args": {"n": 3}}]',
    ],
)
async def test_plans_are_read_in_every_common_spelling(said):
    stage = Stage([said, "6"])

    await stage.run(ReWOO(), "Double 3.", tools=[double])

    assert "E1 = double" in stage.question(1)


async def test_two_steps_with_one_id_are_no_plan():
    twice = '[{"id": "E1", "tool": "double", "args": {"n": 1}}, {"id": "E1", "tool": "double", "args": {"n": 2}}]'
    stage = Stage([twice, "[]", "done"])

    await stage.run(ReWOO(), "Go.", tools=[double])

    assert "two calls have the id E1" in stage.question(1)


async def test_a_plan_is_cut_at_the_most_steps():
    stage = Stage([plan(("double", {"n": 1}), ("double", {"n": 2})), "done"])

    await stage.run(ReWOO(max_steps=1), "Go.", tools=[double])

    assert "E2" not in stage.question(1)


async def test_calls_are_charged_to_the_user_and_a_spent_budget_ends_it():
    budget = StandardBudget(BudgetConfig(per_user_max_tokens=10_000))
    stage = Stage([DOUBLE_TWICE, "never asked"])

    result = await stage.run(ReWOO(), "Double 3 twice.", tools=[double], budget=budget)

    assert result.interruption_reason == "budget:per_user_max_tokens"
    assert budget.usage_for("ann")["tokens_total"] == 10_000
    assert budget.usage_for(None)["tokens_total"] == 0


async def test_the_conversation_of_a_session_goes_on():
    stage = Stage(["[]", "one", "[]", "two"])
    agent = stage.agent(ReWOO())

    await agent.run("First?", user_id="ann", session_id="s")
    await agent.run("Second?", user_id="ann", session_id="s")

    for call in (2, 3):
        assert [m.content for m in stage.asked[call]][1:3] == ["First?", "one"]


async def test_it_can_be_the_base_of_another_strategy():
    stage = Stage([DOUBLE_TWICE, "13", "score: 0", "Compute.", DOUBLE_TWICE, "12", "score: 1"])

    result = await stage.run(Reflexion(base=ReWOO()), "Double 3 twice.", tools=[double])

    assert result.output == "12"


async def test_a_model_that_fails_is_its_own_error():
    with pytest.raises(TransientModelError, match="down"):
        await Stage([TransientModelError("down")]).run(ReWOO(), "Go.")


async def test_a_finished_run_replays_without_the_model_and_without_the_tools():
    ran = []

    def count(n: int) -> int:
        ran.append(n)
        return n

    stage = Stage([plan(("count", {"n": 1}), ("count", {"n": "{{E1}}"})), "done"])

    journal, first, second = await replayed(stage, ReWOO(), "Go.", tools=[count])

    assert first == second == "done"
    assert ran == [1, 1]
    assert [key for key in journal.steps() if "re" not in key.rsplit("/", 1)[-1]] == [
        "plan/model",
        "step:E1/tool:call_1",
        "step:E2/tool:call_1",
        "solve/model",
    ]


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="max_steps"):
        ReWOO(max_steps=0)
