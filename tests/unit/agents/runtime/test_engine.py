"""From a program and a journal to an outcome."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.core.agent import Agent
from agents.core.ambient import Ambient
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.runtime.engine import Answer, Failed, Finished, advance, describe
from agents.core.runtime.journal import JournalSession
from agents.core.tools.tool import tool
from agents.core.workflow import Workflow
from governance.core.retry import RetryPolicy
from loom.context import RunContext, get_run_context
from loom.errors import ConfigError, Interrupted, NotFound, RateLimitError
from loom.events import Record
from loom.messages import ToolCall, Usage
from tests.unit.agents.journals import Full, ListJournal

DIRTY, CLEAN = "a\x00b\ud800", "a\ufffdb\ufffd"


class Says:
    """A program of one answer, or of one failure."""

    def __init__(self, what: Answer | Exception) -> None:
        self.what = what

    async def answer(self, input: Any, ambient: Ambient, *, output_schema: Any = None) -> Answer:
        if isinstance(self.what, Exception):
            raise self.what
        return self.what


def ambient_over(journal: ListJournal, recorded: list[Record] | None = None, *, run_id: str = "run_1") -> Ambient:
    session = JournalSession("s", journal, recorded or [])

    async def note(event: Any) -> None:
        session.note(event)

    return Ambient(RunContext("alice", "s", run_id), runtime=session, emit=note)


async def test_an_answer_ends_the_run_as_succeeded() -> None:
    journal = ListJournal()
    outcome = await advance(Says(Answer("hi", {"a": 1})), "x", ambient_over(journal), journal)
    assert outcome == Finished(Answer("hi", {"a": 1}))
    assert [record.model_dump() for record in journal.records] == [
        {"kind": "run.succeeded", "step_key": "", "data": {"output": "hi", "parsed": {"a": 1}}}
    ]


@pytest.mark.parametrize("what", [Answer(DIRTY, DIRTY, DIRTY), NotFound(DIRTY, name=DIRTY), ValueError(DIRTY)])
async def test_an_end_is_written_so_that_any_database_can_hold_it(what: Answer | Exception) -> None:
    journal = ListJournal()
    await advance(Says(what), "x", ambient_over(journal), journal)
    assert "\\u0000" not in journal.texts[0]
    assert CLEAN in journal.texts[0]


async def test_an_interrupted_run_says_why() -> None:
    journal = ListJournal()
    answer = Answer("half", None, "max_turns_exceeded")
    await advance(Says(answer), "x", ambient_over(journal), journal)
    assert journal.records[0].data["interruption_reason"] == "max_turns_exceeded"


async def test_an_error_that_can_be_named_fails_the_run_by_its_code() -> None:
    journal = ListJournal()
    outcome = await advance(Says(NotFound("no agent 'x'", agent="x")), "x", ambient_over(journal), journal)
    assert outcome == Failed(
        {"type": "NotFound", "code": "not_found", "message": "no agent 'x'", "retryable": False, "agent": "x"}
    )
    assert journal.records[0].kind == "run.failed"


async def test_any_other_error_fails_the_run_as_internal() -> None:
    journal = ListJournal()
    outcome = await advance(Says(ZeroDivisionError("by zero")), "x", ambient_over(journal), journal)
    assert isinstance(outcome, Failed)
    assert outcome.error["code"] == "internal"


async def test_a_run_does_not_fail_because_the_platform_s_own_servers_are_away() -> None:
    journal = ListJournal()
    with pytest.raises(Interrupted, match="the database does not answer"):
        await advance(Says(Interrupted("the database does not answer")), "x", ambient_over(journal), journal)
    assert journal.records == []


async def test_what_the_journal_refuses_is_raised_and_no_outcome() -> None:
    journal = ListJournal(full=0)
    with pytest.raises(Full):
        await advance(Says(Answer("hi")), "x", ambient_over(journal), journal)


def test_the_facts_of_an_error_do_not_hide_what_it_is() -> None:
    told = describe(ConfigError("wrong", code="mine", retryable=True, cause=b"\xff"))
    assert told == {
        "code": "config",
        "message": "wrong",
        "type": "ConfigError",
        "retryable": False,
        "cause": told["cause"],
    }
    assert describe(RateLimitError("slow"))["retryable"] is True


# --- whatever a crash leaves behind -----------------------------------------------------------------------------------


class World:
    """What the tools and steps of a run do outside."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.keys: dict[str, set[str | None]] = {}
        self.asked = 0
        self.failures_left = 1

    def do(self, what: str) -> str:
        self.done.append(what)
        self.keys.setdefault(what, set()).add(get_run_context().idempotency_key)
        return f"did {what}"


def agent_in(world: World, calls: list[list[int]]) -> Agent:
    @tool
    async def act(number: int) -> str:
        """Act."""
        return world.do(f"act {number}")

    def turn(numbers: list[int]) -> Any:
        def say(messages: Any) -> ScriptedTurn:
            world.asked += 1
            made = [ToolCall(id=f"c{n}", tool="act", args={"number": n}) for n in numbers]
            return ScriptedTurn(f"calling {numbers}", made, Usage(input_tokens=1, output_tokens=1))

        return say

    def last(messages: Any) -> ScriptedTurn:
        world.asked += 1
        return ScriptedTurn("\n".join(m.content for m in messages))

    class ByTurn(ScriptedModel):
        """Answers by how far the conversation is, as a model does."""

        async def _next(self, messages: Any) -> ScriptedTurn:
            place = sum(m.role == "assistant" for m in messages)
            return (turn(calls[place]) if place < len(calls) else last)(messages)

    return Agent("Act.", model=ByTurn([]), tools=[act])


scripts = st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True), max_size=3).filter(
    lambda turns: len({n for turn in turns for n in turn}) == sum(map(len, turns))
)


@settings(max_examples=40, deadline=None)
@given(scripts, st.integers(0, 999))
async def test_a_run_cut_off_anywhere_ends_alike_and_repeats_no_finished_step(
    calls: list[list[int]], place: int
) -> None:
    whole, journal = World(), ListJournal()
    outcome = await advance(agent_in(whole, calls), "go", ambient_over(journal), journal)
    left = journal.records[: place % len(journal.texts)]

    resumed, later = World(), ListJournal()
    again = await advance(agent_in(resumed, calls), "go", ambient_over(later, left), later)

    assert again == outcome
    finished = {record.step_key for record in left if record.kind == "tool.completed"}
    assert len(resumed.done) == len(whole.done) - len(finished)
    assert resumed.asked == whole.asked - sum(record.kind == "model.completed" for record in left)
    ended = [record.step_key for record in left + later.records if record.kind.endswith(".completed")]
    assert len(ended) == len(set(ended))
    for what, keys in resumed.keys.items():
        assert keys == whole.keys[what], "the tool that runs again gets the key that it had"


def intake_in(world: World) -> Workflow:
    async def read(value: str) -> dict[str, str]:
        return {"read": world.do("read") + value}

    async def shaky(value: dict[str, str]) -> str:
        world.do("shaky")
        if world.failures_left:
            world.failures_left -= 1
            raise OSError("once")
        return str(value)

    def left(value: str) -> str:
        return world.do("left") + value

    def right(value: str) -> str:
        return world.do("right") + value

    both = Workflow.parallel([left, right], name="both", merge=lambda found: "+".join(found))
    workflow = Workflow("intake").add_node("read", read).add_node("both", both)
    workflow.add_node("shaky", shaky, retry=RetryPolicy(max_attempts=2, initial_delay_s=0, jitter=0))
    return workflow.set_start("read").add_edge("read", "shaky").add_edge("shaky", "both")


async def test_a_workflow_cut_off_anywhere_ends_alike_and_repeats_no_finished_step() -> None:
    whole, journal = World(), ListJournal()
    outcome = await advance(intake_in(whole), "mail", ambient_over(journal), journal)
    assert isinstance(outcome, Finished)
    for cut in range(len(journal.texts)):
        left = journal.records[:cut]
        world, later = World(), ListJournal()
        world.failures_left = 0 if any("failed:1" in record.step_key for record in left) else 1
        assert await advance(intake_in(world), "mail", ambient_over(later, left), later) == outcome
        ended = {r.step_key.rsplit("/", 1)[-1].partition("#")[0] for r in left if r.kind.endswith("step.completed")}
        for what in ("read", "left", "right"):
            assert (what not in world.done) == (f"step:{what}" in ended), (cut, what)
        notes = [r for r in left + later.records if "workflow" in r.kind]
        assert len(notes) == len([r for r in journal.records if "workflow" in r.kind])


async def test_an_attempt_that_failed_before_a_crash_is_not_made_again() -> None:
    journal = ListJournal()
    await advance(intake_in(World()), "mail", ambient_over(journal), journal)
    left = journal.records
    upto = next(place for place, r in enumerate(left) if r.kind.endswith("completed") and "attempt:2" in r.step_key)
    world, later = World(), ListJournal()
    await advance(intake_in(world), "mail", ambient_over(later, left[: upto + 1]), later)
    assert "shaky" not in world.done
