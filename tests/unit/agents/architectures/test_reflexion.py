"""Try, judge, learn, try again."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from agents.core.architectures.reflexion import EVALUATOR, REFLECTOR, Reflexion
from agents.core.architectures.self_refine import SelfRefine
from governance.core.budget import BudgetConfig
from governance.core.permissions import StandardPermissions
from governance.core.standard_budget import StandardBudget
from loom.errors import TransientModelError
from loom.messages import ToolCall
from memory.core.backends.in_memory import InMemoryMemory
from memory.core.nothing import Nothing
from tests.unit.agents.architectures.stage import INSTRUCTIONS, Stage, calls, replayed

THREE = ["4", "wrong\nscore: 2/10", "Add again.", "5", "right\nscore: 0.9"]


@dataclass
class Shelf:
    """A store of lessons that finds all that fit the filter."""

    chunks: list[Any] = field(default_factory=list)

    async def add(self, chunks, ids=None):
        self.chunks += chunks
        return [str(len(self.chunks))]

    async def search(self, query, *, k=4, filter=None, diversity=None):
        fitting = [c for c in self.chunks if all(c.metadata.get(key) == value for key, value in filter.items())]
        return [SimpleNamespace(chunk=chunk) for chunk in fitting[:k]]


async def test_a_failed_attempt_teaches_the_next_one():
    stage = Stage(THREE)

    result = await stage.run(Reflexion(), "2 + 3?")

    assert result.output == "5"
    assert stage.names() == [
        "reflexion.attempt_started",
        "reflexion.evaluated",
        "reflexion.lesson_produced",
        "reflexion.lesson_persisted",
        "reflexion.attempt_started",
        "reflexion.evaluated",
        "reflexion.threshold_met",
    ]
    assert stage.system(1).startswith(EVALUATOR)
    assert stage.question(1) == "Task:\n2 + 3?\n\nOutput:\n4"
    assert stage.system(2).startswith(REFLECTOR)
    assert stage.question(2) == "Task:\n2 + 3?\n\nOutput:\n4\n\nEvaluation (score 0.20):\nwrong\nscore: 2/10"
    assert "- Add again." in stage.system(3)
    assert all(INSTRUCTIONS in stage.system(call) for call in range(5))


async def test_an_attempt_starts_afresh():
    stage = Stage(THREE)

    await stage.run(Reflexion(), "2 + 3?")

    assert [m.content for m in stage.asked[3]][-1] == "2 + 3?"
    assert "4" not in [m.content for m in stage.asked[3]]


async def test_lessons_belong_to_the_user_they_were_learned_for():
    memory = InMemoryMemory()
    await Stage(THREE).run(Reflexion(), "2 + 3?", memory=memory)

    for_ann, for_ben = Stage(["5", "score: 1"]), Stage(["5", "score: 1"])
    await for_ann.run(Reflexion(), "3 + 4?", memory=memory)
    await for_ben.run(Reflexion(), "3 + 4?", memory=memory, user_id="ben")

    assert "Add again." in for_ann.system(0)
    assert "Add again." not in for_ben.system(0)
    assert await memory.working(user_id=None) == []


async def test_a_lesson_is_shown_once_whether_memory_has_blocks_or_not():
    with_blocks, without = Stage(THREE), Stage(THREE)

    await with_blocks.run(Reflexion(), "2 + 3?", memory=InMemoryMemory())
    await without.run(Reflexion(), "2 + 3?", memory=Nothing())

    assert with_blocks.system(3).count("Add again.") == 1
    assert without.system(3).count("Add again.") == 1


async def test_a_lesson_store_is_searched_for_the_user_and_filled():
    shelf, memory = Shelf(), InMemoryMemory()
    await Stage(THREE).run(Reflexion(lesson_store=shelf), "2 + 3?", memory=memory)

    for_ann, for_ben = Stage(["5", "score: 1"]), Stage(["5", "score: 1"])
    await for_ann.run(Reflexion(lesson_store=shelf), "3 + 4?", memory=memory)
    await for_ben.run(Reflexion(lesson_store=shelf), "3 + 4?", memory=memory, user_id="ben")

    assert [chunk.content for chunk in shelf.chunks] == ["Add again."]
    assert "Add again." in for_ann.system(0)
    assert "Add again." not in for_ben.system(0)
    assert for_ann.told()[1] == {"name": "reflexion.lessons_recalled", "attempt": 1, "count": 1}


async def test_the_last_attempt_is_not_reflected_on():
    stage = Stage(["4", "score: 0.1", "Add again.", "6", "score: 0.2"])

    result = await stage.run(Reflexion(max_attempts=2), "2 + 3?")

    assert result.output == "6"
    assert len(stage.asked) == 5
    assert stage.names()[-1] == "reflexion.max_attempts_reached"


async def test_an_evaluation_without_a_score_is_asked_for_once_more():
    stage = Stage(["5", "splendid", "score: 0.9"])

    await stage.run(Reflexion(), "2 + 3?")

    assert [m.content for m in stage.asked[2]][-2] == "splendid"
    assert "score: 0.7" in stage.question(2)
    assert stage.told()[1]["score"] == 0.9


async def test_an_evaluation_that_stays_unreadable_counts_as_zero_and_says_so():
    stage = Stage(["5", "splendid", "marvelous"])

    await stage.run(Reflexion(max_attempts=1), "2 + 3?")

    assert (stage.told()[1]["score"], stage.told()[1]["readable"]) == (0.0, False)
    assert stage.names()[-1] == "reflexion.max_attempts_reached"


async def test_a_score_of_eight_of_ten_is_not_perfect():
    stage = Stage(["4", "score: 8/10", "Add again.", "5", "score: 10/10"])

    await stage.run(Reflexion(threshold=0.9), "2 + 3?")

    assert [p["score"] for p in stage.told() if p["name"] == "reflexion.evaluated"] == [0.8, 1.0]


async def test_calls_are_charged_to_the_user_and_a_spent_budget_ends_it():
    budget = StandardBudget(BudgetConfig(per_user_max_tokens=20_000))
    stage = Stage(THREE)

    result = await stage.run(Reflexion(), "2 + 3?", budget=budget)

    assert result.interruption_reason == "budget:per_user_max_tokens"
    assert len(stage.asked) == 2
    assert budget.usage_for("ann")["tokens_total"] == 20_000


async def test_a_denied_tool_is_told_and_never_run():
    ran = []

    def wipe(path: str) -> str:
        ran.append(path)
        return "gone"

    stage = Stage([calls(ToolCall(tool="wipe", args={"path": "/"})), "I may not", "score: 1"])

    await stage.run(Reflexion(), "Wipe.", tools=[wipe], permissions=StandardPermissions(denied_tools=["wipe"]))

    assert ran == []
    assert stage.question(1).startswith("DENIED")


async def test_reflexion_wraps_self_refine():
    stage = Stage(["draft", "bad", "better", "no issues", "score: 0.1", "Be brief.", "short", "no issues", "score: 1"])

    result = await stage.run(Reflexion(base=SelfRefine()), "Write a note.")

    assert result.output == "short"
    assert "- Be brief." in stage.system(6)
    workers = {event.worker for event in stage.events if event.payload.get("name") == "self_refine.converged"}
    assert workers == {"attempt:1/base", "attempt:2/base"}


async def test_a_model_that_fails_is_its_own_error():
    stage = Stage(["4", TransientModelError("down")])

    with pytest.raises(TransientModelError):
        await stage.run(Reflexion(), "2 + 3?")


async def test_a_finished_run_replays_without_the_model_and_learns_nothing_twice():
    shelf, memory = Shelf(), InMemoryMemory()
    stage = Stage(["4", "no issues", "score: 0.2", "Add again.", "5", "no issues", "score: 1"])

    journal, first, second = await replayed(
        stage, Reflexion(base=SelfRefine(), lesson_store=shelf), "2 + 3?", memory=memory
    )

    assert first == second == "5"
    assert len(shelf.chunks) == 1
    assert "attempt:1/evaluate/model" in journal.steps()
    assert "attempt:1/base/round:0/turn:1/model" in journal.steps()


@pytest.mark.parametrize("wrong", [{"max_attempts": 0}, {"threshold": 1.1}, {"threshold": -0.1}, {"top_k_lessons": 0}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Reflexion(**wrong)
