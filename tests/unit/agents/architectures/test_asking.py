"""What all strategies have in common."""

import anyio
import pytest

from agents.core.agent import Agent
from agents.core.architectures.asking import Backdrop, list_in, user
from agents.core.architectures.plan_and_execute import PlanAndExecute
from agents.core.architectures.react import ReAct
from agents.core.architectures.reflexion import Reflexion
from agents.core.architectures.resolver import BY_NAME, resolve_architecture
from agents.core.architectures.rewoo import ReWOO
from agents.core.architectures.self_refine import SelfRefine
from agents.core.architectures.tree_of_thoughts import TreeOfThoughts
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.stop_hooks import StopHookResult
from loom.messages import Role, ToolCall
from memory.core.backends.in_memory import InMemoryMemory
from tests.unit.agents.architectures.stage import INSTRUCTIONS, Stage, replayed

# What the model says in one run of each strategy that ends well.
RUNS = {
    "react": (ReAct, ["answer"]),
    "self-refine": (SelfRefine, ["draft", "bad", "answer", "no issues"]),
    "reflexion": (Reflexion, ["bad", "score: 0", "Do better.", "answer", "score: 1"]),
    "tree-of-thoughts": (lambda: TreeOfThoughts(branch_factor=1), ["answer", "score: 1"]),
    "plan-and-execute": (PlanAndExecute, ['["step"]', "done", "answer"]),
    "rewoo": (ReWOO, ["[]", "answer"]),
}
EACH = pytest.mark.parametrize("name", RUNS)


class Twice:
    """Sends the agent back to work once."""

    name = "twice"

    async def __call__(self, session, deps, *, iteration):
        return StopHookResult("Do it again.") if iteration == 1 else None


def test_each_strategy_that_needs_no_workers_can_be_named():
    assert set(RUNS) == set(BY_NAME)
    assert all(resolve_architecture(name).name == name for name in RUNS)


@EACH
async def test_every_prompt_contains_the_instructions_and_what_memory_knows(name):
    strategy, lines = RUNS[name]
    memory = InMemoryMemory()
    await memory.update_block("likes", "Ann likes tea.", user_id="ann")
    await memory.update_block("likes", "Ben likes coffee.", user_id="ben")
    stage = Stage(lines)

    result = await stage.run(strategy(), "Go.", memory=memory)

    assert result.output == "answer"
    assert len(stage.asked) == len(lines)
    for call in range(len(lines)):
        assert INSTRUCTIONS in stage.system(call)
        assert "Ann likes tea." in stage.system(call)
        assert "coffee" not in stage.system(call)


@EACH
async def test_an_agent_that_a_hook_sends_back_replays_and_knows_what_it_said(name):
    strategy, lines = RUNS[name]
    stage = Stage(lines + lines)

    journal, first, second = await replayed(stage, strategy(), "Go.", stop_hooks=[Twice()])

    assert first == second == "answer"
    assert len(stage.asked) == 2 * len(lines)
    assert any(key.startswith("again:1/") for key in journal.steps())
    for call in range(len(lines), 2 * len(lines)):
        assert "Go." in [m.content for m in stage.asked[call]]
        assert "answer" in [m.content for m in stage.asked[call]]


async def test_an_agent_that_is_sent_back_shows_its_earlier_tool_calls_to_nobody_without_tools():
    def add(a: int, b: int) -> int:
        return a + b

    add_up = ScriptedTurn("I add.", [ToolCall(tool="add", args={"a": 1, "b": 2})])
    stage = Stage([add_up, "3", "no issues", "three", "no issues"])

    await stage.run(SelfRefine(), "1 + 2?", tools=[add], stop_hooks=[Twice()])

    critic = stage.asked[4]
    assert [m.content for m in critic[1:-1]] == ["1 + 2?", "I add.", "3"]
    assert not any(m.tool_calls or m.role is Role.TOOL for m in critic)


class Native(ScriptedModel):
    """Enforces output schemas itself, and notes for which calls it was given one."""

    supports_native_structured_output = True

    async def complete(self, messages, *, output_schema=None, **options):
        self.given = [*getattr(self, "given", []), output_schema is not None]
        return await super().complete(messages, **options)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("self-refine", [True, False, True, False]),
        ("reflexion", [True, False, False, True, False]),
        ("tree-of-thoughts", [False, False]),
        ("plan-and-execute", [False, False, True]),
        ("rewoo", [False, True]),
    ],
)
async def test_the_output_schema_is_for_the_answer_and_not_for_what_leads_to_it(name, given):
    strategy, lines = RUNS[name]
    model = Native([ScriptedTurn('"answer"' if line == "answer" else line) for line in lines])
    agent = Agent("", model=model, architecture=strategy(), output_schema={"type": "string"})

    result = await agent.run("Go.")

    assert result.parsed == "answer"
    assert model.given == given


@EACH
async def test_a_run_that_is_cut_off_anywhere_goes_on_from_there(name):
    strategy, lines = RUNS[name]
    for end in range(len(lines)):
        stage = Stage([*lines[:end], RuntimeError("power cut")])

        journal, first = await stage.over_journal(strategy())
        rest = Stage(lines[end:])
        _, second = await rest.over_journal(strategy(), journal)

        assert (first, second) == (None, "answer")
        assert len(rest.asked) == len(lines) - end


@EACH
async def test_cancellation_passes_and_leaves_nothing_running(name):
    running = 0

    async def hang(messages):
        nonlocal running
        running += 1
        try:
            await anyio.sleep_forever()
        finally:
            running -= 1

    agent = Agent("", model=ScriptedModel([hang] * 9), architecture=RUNS[name][0]())

    with anyio.move_on_after(0.05) as scope:
        await agent.run("Go.")

    assert scope.cancelled_caught
    assert running == 0


def test_a_question_about_the_work_quotes_the_instructions_and_one_that_answers_begins_with_them():
    backdrop = Backdrop("Answer in JSON.", (user("earlier"),))

    about, answering = backdrop.about("Judge.", user("?")), backdrop.answering("Improve.", user("?"))

    assert about[0].content.startswith("Judge.\n\n")
    assert "<instructions>\nAnswer in JSON.\n</instructions>" in about[0].content
    assert answering[0].content == "Answer in JSON.\n\nImprove."
    assert [m.content for m in about[1:]] == [m.content for m in answering[1:]] == ["earlier", "?"]


@pytest.mark.parametrize(
    ("given", "found"),
    [([1], [1]), ({"steps": [1]}, [1]), ({"a": [1], "b": [2]}, {"a": [1], "b": [2]}), ("x", "x"), ({}, {})],
)
def test_a_list_is_found_in_the_object_around_it(given, found):
    assert list_in(given) == found
