import json
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from agents.core.concurrency import together
from agents.core.plan import (
    LivingPlan,
    LivingPlanStep,
    PlanStopHook,
    get_active_plan,
    normal_status,
    plan_from,
    plan_of_run,
)
from agents.core.plan_resolver import ResolvedLivingPlan, resolve_living_plan
from agents.core.plan_tools import living_plan_prompt_section, make_plan_tools, make_recall_past_plans_tool
from agents.core.stop_hooks import StopHook
from agents.core.workspace.in_memory import InMemoryWorkspace
from agents.core.workspace.local_disk import LocalDiskWorkspace
from loom.context import RunContext, set_run_context
from loom.errors import ConfigError
from loom.messages import Message, Role, ToolCall

STEPS = [{"description": "look", "status": "done", "finding": "it | rains\nhard"}, "leap"]


def steps(plan: LivingPlan | None) -> list[tuple[str, str]]:
    assert plan is not None
    return [(step.description, step.status) for step in plan.steps]


def in_run(run_id: str, user: str | None = "ann") -> set_run_context:
    return set_run_context(RunContext(user_id=user, run_id=run_id))


# the plan itself


def test_a_plan_reads_as_a_table_with_its_progress() -> None:
    plan = LivingPlan(
        goal="Ship",
        steps=[
            LivingPlanStep("look", "done", "it | rains\nhard"),
            LivingPlanStep("leap", "wip"),
            LivingPlanStep("land"),
            LivingPlanStep("sing", "failed"),
            LivingPlanStep("dance", "skip"),
        ],
    )

    assert plan.render() == "\n".join(
        [
            "**GOAL:** Ship",
            "",
            "| # | Status | Description | Finding |",
            "|---|---|---|---|",
            "| 1 | DONE | look | it \\| rains hard |",
            "| 2 | DOING | leap |  |",
            "| 3 | todo | land |  |",
            "| 4 | BLOCKED | sing |  |",
            "| 5 | skipped | dance |  |",
            "",
            "**Progress:** 1/5 done, 1 blocked",
        ]
    )


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("in_progress", "doing"),
        ("In Progress", "doing"),
        ("in-progress", "doing"),
        ("WIP", "doing"),
        ("started", "doing"),
        ("running", "doing"),
        ("complete", "done"),
        ("finished", "done"),
        ("ok", "done"),
        ("failed", "blocked"),
        ("error", "blocked"),
        ("stuck", "blocked"),
        ("skip", "skipped"),
        ("skipped", "skipped"),
        ("whatever", "todo"),
        (None, "todo"),
        ("", "todo"),
    ],
)
def test_a_status_is_one_of_five_words(said: Any, meant: str) -> None:
    assert normal_status(said) == meant


@pytest.mark.parametrize(
    "sent",
    [
        [{"description": "look", "status": "done"}, {"description": "leap"}],
        [{"step": "look", "status": "complete"}, "leap"],
        ['{"description": "look", "status": "ok"}', "2. leap"],
        {"steps": [{"title": "look", "status": "finished"}, {"task": "leap"}]},
        json.dumps([{"description": "look", "status": "done"}, "leap"]),
        json.dumps({"steps": [{"description": "look", "status": "done"}, "- leap"]}),
        "1. [x] look\n2) [ ] leap\n\n",
    ],
)
def test_a_plan_is_read_from_whatever_form_a_model_sends(sent: Any) -> None:
    assert steps(plan_from("Ship", sent)) == [("look", "done"), ("leap", "todo")]


@pytest.mark.parametrize("sent", [None, 7, "", [], {}, [{}, "", {"status": "done"}], "{broken"])
def test_what_is_no_plan_is_at_most_text(sent: Any) -> None:
    assert len(plan_from("Ship", sent).steps) == (1 if sent == "{broken" else 0)


# the plan of a run


async def test_a_plan_that_is_written_is_shown_and_can_be_read_back() -> None:
    write, read = make_plan_tools()

    with plan_of_run():
        assert "There is no plan yet" in await read.execute({})
        shown = await write.execute({"goal": "Ship", "steps": STEPS})

        assert "**Progress:** 1/2 done" in shown
        assert await read.execute({}) == shown
        assert steps(get_active_plan()) == [("look", "done"), ("leap", "todo")]
    assert (write.effect, read.effect) == ("idempotent", "read")


async def test_runs_at_the_same_time_do_not_see_each_others_plans() -> None:
    write, read = make_plan_tools()
    all_wrote = anyio.Event()
    seen: dict[str, str] = {}

    async def run(goal: str, last: bool) -> None:
        with plan_of_run():
            await write.execute({"goal": goal, "steps": []})
            if last:
                all_wrote.set()
            await all_wrote.wait()
            seen[goal] = await read.execute({})

    async with anyio.create_task_group() as runs:
        runs.start_soon(run, "alpha", False)
        runs.start_soon(run, "beta", True)

    assert "alpha" in seen["alpha"]
    assert "beta" not in seen["alpha"]


async def test_a_tool_that_runs_in_a_task_of_its_own_works_on_the_plan_of_its_run() -> None:
    write, _ = make_plan_tools()

    with plan_of_run():
        async with anyio.create_task_group() as calls:
            calls.start_soon(write.execute, {"goal": "Ship", "steps": ["look"]})

        assert steps(get_active_plan()) == [("look", "todo")]


async def test_a_run_that_fails_leaves_no_plan_behind() -> None:
    write, _ = make_plan_tools()

    async def fail() -> None:
        with plan_of_run():
            await write.execute({"goal": "secret", "steps": ["look"]})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert get_active_plan() is None


async def test_a_nested_run_has_its_own_plan_and_gives_the_outer_one_back() -> None:
    write, _ = make_plan_tools()

    with plan_of_run():
        await write.execute({"goal": "outer", "steps": []})
        with plan_of_run():
            assert get_active_plan() is None
            await write.execute({"goal": "inner", "steps": []})

        plan = get_active_plan()
        assert plan is not None
        assert plan.goal == "outer"


def test_a_plan_to_begin_with_is_copied_for_each_run() -> None:
    seed = LivingPlan("Ship", [LivingPlanStep("look")])

    with plan_of_run(seed=seed):
        plan = get_active_plan()
        assert plan is not None
        plan.steps[0].status = "done"

    assert seed.steps[0].status == "todo"


async def test_a_run_that_resumes_elsewhere_has_its_plan_from_the_conversation() -> None:
    def said(goal: str) -> Message:
        call = ToolCall(tool="plan_write", args={"goal": goal, "steps": ["look"]})
        return Message(role=Role.ASSISTANT, content="", tool_calls=(call,))

    conversation: list[Message] = []
    write, read = make_plan_tools()
    with plan_of_run(seed=LivingPlan("seed"), messages=lambda: conversation):
        assert "seed" in await read.execute({})
        conversation += [said("first"), Message(role=Role.USER, content="go on"), said("second")]
        assert "second" in await read.execute({})

        await write.execute({"goal": "third", "steps": []})
        assert "third" in await read.execute({})


# the stop hook


async def fired(plan: LivingPlan | None) -> str | None:
    with plan_of_run(seed=plan):
        result = await PlanStopHook()(None, None, iteration=1)  # type: ignore[arg-type]
    return None if result is None else result.reason


async def test_an_agent_is_sent_back_to_what_it_is_doing_then_to_what_is_left() -> None:
    look, leap = LivingPlanStep("look", "todo"), LivingPlanStep("leap", "doing")

    assert await fired(LivingPlan("g", [look, leap])) == "step 2 is doing"
    leap.status = "done"
    assert await fired(LivingPlan("g", [look, leap])) == "step 1 is todo"
    look.status = "blocked"
    assert await fired(LivingPlan("g", [look, leap])) is None
    assert await fired(None) is None
    assert isinstance(PlanStopHook(), StopHook)


# the mirror


async def test_a_plan_is_mirrored_to_one_note_of_the_run() -> None:
    workspace = InMemoryWorkspace()
    write, _ = make_plan_tools(workspace=workspace, author="scout")

    async with in_run("run_1"):
        with plan_of_run():
            await write.execute({"goal": "Ship", "steps": ["look"]})
            await write.execute({"goal": "Ship", "steps": STEPS})
        with plan_of_run():  # the same run, resumed in another process
            await write.execute({"goal": "Ship", "steps": [*STEPS, "land"]})

    (summary,) = await workspace.list_notes(user_id="ann")
    note = await workspace.read_note(summary.slug, user_id="ann")
    assert note is not None
    assert (note.kind, note.author, note.title, note.run_id) == ("plan", "scout", "Plan: Ship", "run_1")
    assert "land" in note.body
    assert await workspace.list_notes(user_id=None) == []


async def test_plans_that_are_written_in_one_turn_share_one_note(tmp_path: Path) -> None:
    workspace = LocalDiskWorkspace(tmp_path)
    write, _ = make_plan_tools(workspace=workspace)

    async with in_run("run_1"):
        with plan_of_run():
            await together([partial(write.execute, {"goal": "Ship", "steps": [step]}) for step in ("look", "leap")])

    (summary,) = await workspace.list_notes(user_id="ann")
    note = await workspace.read_note(summary.slug, user_id="ann")
    assert note is not None
    assert "leap" in note.body


async def test_runs_of_one_task_go_on_with_one_note() -> None:
    workspace = InMemoryWorkspace()
    write, _ = make_plan_tools(workspace=workspace, task_id="T-7")

    for run in ("run_1", "run_2"):
        async with in_run(run):
            with plan_of_run():
                await write.execute({"goal": run, "steps": []})

    (summary,) = await workspace.list_notes(user_id="ann")
    assert summary.title == "Plan: T-7"


async def test_past_plans_are_those_of_the_same_user_and_author_in_other_runs() -> None:
    workspace = InMemoryWorkspace()
    recall = make_recall_past_plans_tool(workspace, author="scout")

    async def plan(goal: str, *, run: str, user: str = "ann", author: str = "scout") -> None:
        write, _ = make_plan_tools(workspace=workspace, author=author)
        async with in_run(run, user):
            with plan_of_run():
                await write.execute({"goal": goal, "steps": ["look"]})

    await plan("Ship tea", run="run_1")
    await plan("Ship tea to Oslo", run="run_2", author="other")
    await plan("Ship tea secretly", run="run_3", user="ben")
    await plan("Brew coffee", run="run_4")
    await plan("Ship tea again", run="run_5")

    async with in_run("run_5"):
        by_words = await recall.execute({"query": "ship tea"})
        newest = await recall.execute({"query": "", "limit": 1})
        nothing = await recall.execute({"query": "zebra"})

    assert by_words.count("## Plan:") == 1
    assert "**GOAL:** Ship tea\n" in by_words
    assert "Brew coffee" in newest
    assert newest.count("## Plan:") == 1
    assert nothing == "No earlier plan fits."


def test_the_instructions_name_the_tools_that_there_are() -> None:
    assert "recall_past_plans" not in living_plan_prompt_section(has_workspace_mirror=False)
    assert "recall_past_plans" in living_plan_prompt_section(has_workspace_mirror=True)


# specs


@pytest.mark.parametrize("spec", [None, False, {"enabled": False}, {"enabled": False, "mirror": True}])
def test_no_plan_is_kept_unless_asked_for(spec: Any) -> None:
    assert resolve_living_plan(spec, workspace_present=True) == ResolvedLivingPlan.disabled()


@pytest.mark.parametrize(
    ("spec", "workspace", "mirror"),
    [
        (True, False, False),
        (True, True, True),
        ("memory", True, False),
        ("inmemory", True, False),
        ("Ephemeral", True, False),
        ("workspace", True, True),
        ("disk", True, True),
        ("persist", True, True),
        ("mirror", True, True),
        ({}, True, True),
        ({"mirror": False}, True, False),
    ],
)
def test_plans_are_mirrored_where_there_is_a_workspace_and_nobody_objects(
    spec: Any, workspace: bool, mirror: bool
) -> None:
    resolved = resolve_living_plan(spec, workspace_present=workspace)

    assert resolved.enabled
    assert resolved.auto_stop_hook
    assert (resolved.mirror_to_workspace, resolved.include_recall) == (mirror, mirror)


def test_a_mapping_says_everything() -> None:
    resolved = resolve_living_plan(
        {
            "mirror": True,
            "include_recall": False,
            "task_id": "T-7",
            "author": "scout",
            "seed_plan": {"goal": "Ship", "steps": ["look"]},
            "auto_stop_hook": False,
        },
        workspace_present=True,
    )

    assert (resolved.mirror_to_workspace, resolved.include_recall, resolved.auto_stop_hook) == (True, False, False)
    assert (resolved.task_id, resolved.author) == ("T-7", "scout")
    assert resolved.seed_plan == LivingPlan("Ship", [LivingPlanStep("look")])


def test_a_plan_itself_is_what_runs_begin_with() -> None:
    seed = LivingPlan("Ship")

    assert resolve_living_plan(seed, workspace_present=False).seed_plan is seed


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("workspace", "needs a workspace"),
        ({"mirror": True}, "living_plan.mirror needs a workspace"),
        ({"include_recall": True}, "living_plan.include_recall needs a workspace"),
        ({"mirorr": True}, "living_plan has no 'mirorr'; did you mean 'mirror'"),
        ({"seed_plan": 7}, "seed_plan is a LivingPlan or"),
        ("always", "living_plan is 'always'"),
        (3, "living_plan is 3"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(spec: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_living_plan(spec, workspace_present=False)
