"""Breadth-first search over thoughts."""

import re

import anyio
import pytest

from agents.core.agent import Agent
from agents.core.architectures.base import AgentSession
from agents.core.architectures.reflexion import Reflexion
from agents.core.architectures.tree_of_thoughts import EVALUATOR, PROPOSER, TreeOfThoughts
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from governance.core.budget import BudgetConfig
from governance.core.standard_budget import StandardBudget
from loom.errors import TransientModelError
from loom.messages import Usage
from tests.unit.agents.architectures.stage import INSTRUCTIONS, Stage, replayed

ONE_AT_A_TIME = {"parallel": False, "branch_factor": 2, "beam_width": 1, "max_depth": 2}
SEARCH = ["a", "b", "score: 0.2", "score: 0.6", "bc", "bd", "score: 0.9", "score: 0.3"]


class Watched(TreeOfThoughts):
    """Keeps the session that it worked on."""

    session: AgentSession

    def run(self, session, deps, prompt):
        self.session = session
        return super().run(session, deps, prompt)


async def test_the_best_thought_of_a_level_is_carried_on_and_the_best_of_all_is_the_answer():
    stage, search = Stage(SEARCH), Watched(**ONE_AT_A_TIME)

    result = await stage.run(search, "Riddle?")

    assert (result.output, result.turns) == ("bc", 8)
    assert stage.names() == [
        "tot.started",
        "tot.level_started",
        "tot.proposed",
        "tot.evaluated",
        "tot.pruned",
        "tot.level_started",
        "tot.proposed",
        "tot.evaluated",
        "tot.pruned",
        "tot.completed",
    ]
    assert search.session.metadata["tot_winner_id"] == "1.0"
    assert [(n["id"], n["parent_id"], n["score"], n["depth"]) for n in search.session.metadata["tot_nodes"]] == [
        ("0", None, 0.2, 1),
        ("1", None, 0.6, 1),
        ("1.0", "1", 0.9, 2),
        ("1.1", "1", 0.3, 2),
    ]


async def test_proposer_and_evaluator_see_the_line_of_thought_and_the_instructions():
    stage = Stage(SEARCH)

    await stage.run(TreeOfThoughts(**ONE_AT_A_TIME), "Riddle?")

    assert stage.system(0) == f"{INSTRUCTIONS}\n\n{PROPOSER}"
    assert stage.question(0) == "Task:\nRiddle?\n\nPropose thought 1 of 2 for the next step."
    assert stage.system(2).startswith(EVALUATOR)
    assert INSTRUCTIONS in stage.system(2)
    assert stage.question(2) == "Task:\nRiddle?\n\nThought 1:\na"
    assert stage.question(5) == "Task:\nRiddle?\n\nThought 1:\nb\n\nPropose thought 2 of 2 for the next step."
    assert stage.question(6) == "Task:\nRiddle?\n\nThought 1:\nb\n\nThought 2:\nbc"


async def test_a_solved_thought_ends_the_search():
    stage = Stage(["a", "b", "score: 1", "score: 0.5"])

    result = await stage.run(TreeOfThoughts(**ONE_AT_A_TIME), "Riddle?")

    assert result.output == "a"
    assert stage.names()[-2:] == ["tot.solved", "tot.completed"]


async def test_weak_thoughts_are_dropped_and_an_empty_beam_ends_the_search():
    stage = Stage(["a", "b", "score: 0.1", "score: 0.2"])

    result = await stage.run(TreeOfThoughts(min_score=0.5, **ONE_AT_A_TIME), "Riddle?")

    assert result.output == "b"
    assert stage.names()[-3:] == ["tot.pruned", "tot.empty_beam", "tot.completed"]


async def test_a_model_without_thoughts_ends_the_search():
    stage = Stage(["", " "])

    result = await stage.run(TreeOfThoughts(**ONE_AT_A_TIME), "Riddle?")

    assert result.output == ""
    assert stage.names()[-1] == "tot.no_thoughts"


async def test_a_thought_that_cannot_be_scored_counts_as_zero():
    stage = Stage(["a", "b", "hm", "well", "score: 0.1"])

    result = await stage.run(TreeOfThoughts(parallel=False, branch_factor=2, max_depth=1), "Riddle?")

    assert result.output == "b"
    assert stage.told()[3]["unreadable"] == ["0"]


async def test_the_best_thought_of_all_wins_and_of_equal_ones_the_most_developed():
    early = Stage(["a", "score: 0.8", "b", "score: 0.5"])
    equal = Stage(["a", "score: 0.8", "b", "score: 0.8"])

    best_early = await early.run(TreeOfThoughts(branch_factor=1, max_depth=2), "Riddle?")
    best_equal = await equal.run(TreeOfThoughts(branch_factor=1, max_depth=2), "Riddle?")

    assert (best_early.output, best_equal.output) == ("a", "b")


@pytest.mark.parametrize(("parallel", "most"), [(True, [3, 3]), (False, [1, 1])])
async def test_the_proposals_of_a_level_run_at_the_same_time_and_so_do_the_evaluations(parallel, most):
    running, seen = [0, 0], [0, 0]

    async def answer(messages):
        kind = 0 if "Propose thought" in messages[-1].content else 1
        running[kind] += 1
        seen[kind] = max(seen[kind], running[kind])
        await anyio.sleep(0.01)
        running[kind] -= 1
        return ScriptedTurn("score: 0.5")

    strategy = TreeOfThoughts(max_depth=1, parallel=parallel)
    await Agent("", model=ScriptedModel([answer] * 6), architecture=strategy).run("Riddle?")

    assert seen == most


async def test_thoughts_get_their_own_scores_however_the_calls_end():
    async def answer(messages):
        text = messages[-1].content
        if found := re.search(r"Propose thought (\d)", text):
            return ScriptedTurn(f"thought {found[1]}")
        number = int(text[-1])
        await anyio.sleep(0.01 * (3 - number))
        return ScriptedTurn(f"score: {number}/4")

    agent = Agent("", model=ScriptedModel([answer] * 6), architecture=TreeOfThoughts(max_depth=1))

    assert (await agent.run("Riddle?")).output == "thought 3"


async def test_calls_are_charged_to_the_user_and_a_spent_budget_leaves_the_best_so_far():
    budget = StandardBudget(BudgetConfig(per_user_max_tokens=40_000))
    stage = Stage(SEARCH)

    result = await stage.run(TreeOfThoughts(**ONE_AT_A_TIME), "Riddle?", budget=budget)

    assert (result.output, result.interruption_reason) == ("b", "budget:per_user_max_tokens")
    assert budget.usage_for("ann")["tokens_total"] == 40_000
    assert budget.usage_for(None)["tokens_total"] == 0


async def test_the_conversation_of_a_session_goes_on():
    stage = Stage(["a", "score: 1", "b", "score: 1"])
    agent = stage.agent(TreeOfThoughts(branch_factor=1))

    await agent.run("First?", user_id="ann", session_id="s")
    await agent.run("Second?", user_id="ann", session_id="s")

    assert [m.content for m in stage.asked[2]][1:3] == ["First?", "a"]


async def test_it_can_be_the_base_of_another_strategy():
    stage = Stage(["a", "score: 1", "score: 0.1", "Try harder.", "b", "score: 1", "score: 1"])

    result = await stage.run(Reflexion(base=TreeOfThoughts(branch_factor=1)), "Riddle?")

    assert result.output == "b"
    assert "Try harder." in stage.system(4)


async def test_a_model_that_fails_is_its_own_error():
    def fail(messages):
        raise TransientModelError("down")

    agent = Agent("", model=ScriptedModel([fail] * 3), architecture=TreeOfThoughts())

    with pytest.raises(TransientModelError, match="down"):
        await agent.run("Riddle?")


async def test_a_finished_run_replays_without_the_model():
    stage = Stage(SEARCH)

    journal, first, second = await replayed(stage, TreeOfThoughts(**ONE_AT_A_TIME), "Riddle?")

    assert first == second == "bc"
    assert [key for key in journal.steps() if key.endswith("model")] == [
        "level:1/thought:0/propose/model",
        "level:1/thought:1/propose/model",
        "level:1/thought:0/score/model",
        "level:1/thought:1/score/model",
        "level:2/thought:1.0/propose/model",
        "level:2/thought:1.1/propose/model",
        "level:2/thought:1.0/score/model",
        "level:2/thought:1.1/score/model",
    ]


async def test_usage_of_parallel_calls_adds_up():
    def answer(messages):
        return ScriptedTurn("score: 0.5", usage=Usage(input_tokens=1, output_tokens=2))

    agent = Agent("", model=ScriptedModel([answer] * 6), architecture=TreeOfThoughts(max_depth=1))
    result = await agent.run("Riddle?")

    assert (result.tokens_in, result.tokens_out, result.turns) == (6, 12, 6)


@pytest.mark.parametrize(
    "wrong",
    [{"branch_factor": 0}, {"max_depth": 0}, {"beam_width": 0}, {"solved_threshold": 2}, {"min_score": -1}],
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TreeOfThoughts(**wrong)
