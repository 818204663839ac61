"""Keeping a conversation within what its model reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from agents.core.agent import Agent
from agents.core.ambient import Ambient
from agents.core.context_policy import ContextPolicy, context_policy, excerpt
from agents.core.context_window import snipped
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.llm.tokens import tokens_of
from agents.core.runtime.journal import JournalSession
from agents.core.tools.tool import tool
from audit.core.log import InMemoryAuditLog
from governance.core.budget import BudgetStatus, Estimate, NoBudget, Reservation
from loom.context import RunContext
from loom.events import Event, EventKind, Record
from loom.messages import Message, Role, ToolCall, Usage


def words(text: str) -> int:
    return len(text.split())


def size(messages: Sequence[Message]) -> int:
    return sum(tokens_of(message, words) for message in messages)


def conversation(rounds: int, result: str = "word " * 100) -> list[Message]:
    messages = [Message(role=Role.SYSTEM, content="Be brief."), Message(role=Role.USER, content="Find it.")]
    for number in range(rounds):
        call = ToolCall(id=f"c{number}", tool="search", args={"n": number})
        messages += [
            Message(role=Role.ASSISTANT, content=f"looking {number}", tool_calls=(call,)),
            Message(role=Role.TOOL, content=result, name="search", tool_call_id=call.id),
        ]
    return messages


def calls_and_results(messages: Sequence[Message]) -> tuple[list[str], list[str]]:
    calls = [call.id for message in messages for call in message.tool_calls]
    return calls, [str(message.tool_call_id) for message in messages if message.role is Role.TOOL]


# --- leaving out ------------------------------------------------------------------------------------------------------


def test_old_results_go_before_turns_do_and_the_oldest_first() -> None:
    messages = conversation(10)
    shorter = snipped(messages, size(messages) - 250, words)

    assert len(shorter) == len(messages)
    removed = [m.content.startswith("[This result") for m in shorter if m.role is Role.TOOL]
    assert removed == [True] * sum(removed) + [False] * (10 - sum(removed))
    assert 1 < sum(removed) < 9
    assert size(shorter) <= size(messages) - 250


def test_then_the_oldest_turns_go_and_a_call_never_without_its_result() -> None:
    messages = conversation(20)
    shorter = snipped(messages, 250, words)

    calls, results = calls_and_results(shorter)
    assert calls == results
    assert calls[-1] == "c19"
    assert "c0" not in calls
    assert size(shorter) <= 250
    assert shorter[:2] == messages[:2]
    assert "earlier messages were left out" in shorter[2].content


def test_the_instructions_the_first_and_the_newest_request_and_the_newest_turn_stay_whatever_happens() -> None:
    messages = [*conversation(3), Message(role=Role.USER, content="And now this."), *conversation(3)[2:]]
    shorter = snipped(messages, 1, words)

    texts = [message.content for message in shorter]
    assert texts[:2] == ["Be brief.", "Find it."]
    assert "And now this." in texts
    assert calls_and_results(shorter) == (["c2"], ["c2"])


def test_results_of_the_newest_turn_that_are_too_much_alone_are_cut_in_the_middle() -> None:
    messages = conversation(1, result="begin " + "word " * 5000 + "end")
    shorter = snipped(messages, 500, words)

    assert size(shorter) <= 500
    assert shorter[-1].content.startswith("begin")
    assert shorter[-1].content.endswith("end")
    assert "were cut here" in shorter[-1].content


def test_a_conversation_that_fits_is_left_as_it_is() -> None:
    assert snipped(conversation(3), 10_000, words) == conversation(3)
    assert snipped([], 1, words) == []


@pytest.mark.parametrize("goal", range(1, 900, 37))
def test_no_goal_ever_parts_a_call_from_its_result(goal: int) -> None:
    calls, results = calls_and_results(snipped(conversation(8), goal, words))

    assert calls == results


# --- results that are too long ----------------------------------------------------------------------------------------


def test_a_long_result_is_cut_and_says_how_much_is_missing_and_how_to_get_it() -> None:
    text = excerpt("a" * 60_000 + "z" * 2_345, 50_000, "read_file")

    assert "12,345 of 62,345 characters were cut here" in text
    assert "call read_file again" in text
    assert text.startswith("aaa")
    assert text.endswith("zzz")
    assert excerpt("short", 5, "t") == "short"
    assert excerpt("x" * 99, None, "t") == "x" * 99


@tool
async def dump(n: int) -> str:
    """Say much."""
    return "x" * n


def calling(n: int) -> ScriptedTurn:
    return ScriptedTurn("", [ToolCall(id="c1", tool="dump", args={"n": n})])


async def test_a_model_reads_no_more_than_fifty_thousand_characters_of_a_result() -> None:
    read: list[str] = []

    def answer(messages: list[Message]) -> ScriptedTurn:
        read.append(messages[-1].content)
        return ScriptedTurn("done")

    await Agent("", model=ScriptedModel([calling(200_000), answer]), tools=[dump]).run("go")

    assert len(read[0]) < 50_300
    assert "150,000 of 200,000 characters were cut" in read[0]


# --- in a run ---------------------------------------------------------------------------------------------------------


class Busy:
    """Calls a tool a number of times, then answers; summaries are told apart by what they are asked."""

    name = "busy"

    def __init__(self, rounds: int, summary: str = "SUMMARY") -> None:
        self.rounds, self.summary, self.asked, self.limits = rounds, summary, 0, []
        self.seen: list[list[Message]] = []
        self.summaries: list[list[Message]] = []

    async def complete(
        self, messages: list[Message], *, max_tokens: int | None = None, **options: Any
    ) -> tuple[str, list[ToolCall], Usage, str]:
        usage = Usage(input_tokens=10, output_tokens=5, cost_usd=0.01)
        if "keep the notes" in messages[0].content:
            self.summaries.append(list(messages))
            self.limits.append(max_tokens)
            return self.summary, [], usage, "stop"
        self.seen.append(list(messages))
        self.asked += 1
        if self.asked > self.rounds:
            return "done", [], usage, "stop"
        return "", [ToolCall(id=f"c{self.asked}", tool="dump", args={"n": 900})], usage, "tool_use"

    async def stream(self, messages: list[Message], **options: Any) -> Any:
        raise AssertionError("this model is not streamed")
        yield


def agent(model: Any, policy: Any, **more: Any) -> Agent:
    return Agent("Be brief.", model=model, tools=[dump], context_window=policy, **more)


async def test_the_oldest_part_of_a_long_run_becomes_a_summary_that_is_charged_and_audited() -> None:
    log, model = InMemoryAuditLog(), Busy(rounds=12)
    result = await agent(model, 2_000, audit_log=log).run("Find the answer.")

    assert result.output == "done"
    assert model.summaries
    assert result.cost_usd == pytest.approx(0.01 * (13 + len(model.summaries)))
    last = model.seen[-1]
    assert [m.content for m in last[:2]] == ["Be brief.", "Find the answer."]
    assert any("SUMMARY" in m.content for m in last)
    assert all(sum(tokens_of(m) for m in seen) <= 2_000 for seen in model.seen)
    assert calls_and_results(last)[0] == calls_and_results(last)[1]
    shrunk = [entry for entry in await log.query() if entry.action == "context_shrunk"]
    assert len(shrunk) == len(model.summaries)
    assert all(entry.payload["summarized"] for entry in shrunk)
    assert shrunk[0].payload["tokens_after"] < shrunk[0].payload["tokens_before"]


async def test_a_summary_is_asked_to_be_short() -> None:
    model = Busy(rounds=12)
    await agent(model, 2_000).run("Find the answer.")

    assert all(limit is not None and limit <= 2_000 // 16 for limit in model.limits)


async def test_no_summary_is_asked_for_where_tools_leave_no_room_for_one() -> None:
    model, log = Busy(rounds=4), InMemoryAuditLog()
    wide = [tool(name=f"wide_{n}", description="wide " * 100)(dump.fn) for n in range(10)]
    result = await Agent("Be brief.", model=model, tools=[dump, *wide], context_window=1_000, audit_log=log).run("Go.")

    assert result.output == "done"
    assert model.summaries == []
    assert "context_shrunk" in [entry.action for entry in await log.query()]


async def test_the_next_summary_takes_up_the_last_one() -> None:
    model = Busy(rounds=40)
    await agent(model, 2_000).run("Find the answer.")

    assert len(model.summaries) > 1
    assert "SUMMARY" in model.summaries[1][-1].content
    assert sum("SUMMARY" in m.content for m in model.seen[-1]) == 1


async def test_without_summaries_old_results_and_turns_are_left_out_at_no_cost() -> None:
    model = Busy(rounds=12)
    result = await agent(model, ContextPolicy(max_tokens=2_000, compact=False)).run("Find the answer.")

    assert not model.summaries
    assert result.cost_usd == pytest.approx(0.13)
    assert all(sum(tokens_of(m) for m in seen) <= 2_000 for seen in model.seen)


async def test_an_empty_summary_leads_to_leaving_out() -> None:
    model = Busy(rounds=12, summary=" ")
    await agent(model, 2_000).run("Find the answer.")

    assert model.summaries
    assert not any("Summary of" in m.content for m in model.seen[-1])
    assert all(sum(tokens_of(m) for m in seen) <= 2_000 for seen in model.seen)


async def test_a_model_of_unknown_size_is_shown_everything() -> None:
    model = Busy(rounds=12)
    await agent(model, None).run("Find the answer.")

    assert not model.summaries
    assert len(model.seen[-1]) == 2 + 2 * 12


async def test_a_model_says_its_own_window() -> None:
    model = Busy(rounds=12)
    model.max_input_tokens = 2_000  # type: ignore[attr-defined]
    await agent(model, None).run("Find the answer.")

    assert model.summaries


async def test_a_listener_is_told_that_the_conversation_shrank_and_does_not_see_the_summary_being_written() -> None:
    events: list[Event] = []

    class Streaming(Busy):
        async def stream(self, messages: list[Message], **options: Any) -> Any:
            text, calls, usage, reason = await self.complete(messages, **options)
            from loom.messages import ModelChunk

            yield ModelChunk(kind="text", text=text)
            for call in calls:
                yield ModelChunk(kind="tool_call", tool_call=call)
            yield ModelChunk(kind="finish", finish_reason=reason, usage=usage)

    async def emit(event: Event) -> None:
        events.append(event)

    await agent(Streaming(rounds=12), 2_000).run("Find the answer.", emit=emit)

    said = [e.payload["chunk"].text for e in events if e.kind is EventKind.MODEL_CHUNK]
    names = [e.payload["name"] for e in events if e.kind is EventKind.ARCHITECTURE_EVENT]
    assert "done" in said
    assert "SUMMARY" not in said
    assert "context.shrunk" in names


async def test_a_budget_without_room_for_a_summary_ends_the_run() -> None:
    asked: list[int] = []

    class NoSummaries(NoBudget):
        async def reserve(self, estimate: Estimate | None, *, user_id: str | None = None) -> Reservation | BudgetStatus:
            assert estimate is not None
            asked.append(estimate.max_output_tokens)
            is_summary = estimate.max_output_tokens <= 2_000 // 16
            return BudgetStatus.blocked_("enough") if is_summary else Reservation(user_id)

    log, model = InMemoryAuditLog(), Busy(rounds=12)
    result = await agent(model, 2_000, budget=NoSummaries(), audit_log=log).run("Find the answer.")

    assert result.interruption_reason == "budget:enough"
    assert model.summaries == []
    assert asked[-1] <= 2_000 // 16  # the refusal was the last that was heard of the run
    assert len(asked) == model.asked + 1 < 12
    assert "context_shrunk" not in [entry.action for entry in await log.query()]


class Kept:
    """A journal in a list."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def post(self, record: Record) -> None:
        self.records.append(record)

    async def flush(self) -> None:
        return None


async def test_a_replay_asks_nobody_again_and_makes_the_same_conversation() -> None:
    journal, model = Kept(), Busy(rounds=12)
    surroundings = Ambient(RunContext(session_id="s", run_id="r"), runtime=JournalSession("s", journal))
    first = await agent(model, 2_000).answer("Find the answer.", surroundings)
    keys = [record.step_key for record in journal.records if record.kind == "model.completed"]

    again, silent = Kept(), Busy(rounds=0)
    replay = Ambient(surroundings.context, runtime=JournalSession("s", again, journal.records))
    second = await agent(silent, 2_000).answer("Find the answer.", replay)

    assert any(key.endswith("/compact/model") for key in keys)
    assert second.output == first.output == "done"
    assert (silent.asked, silent.summaries) == (0, [])


# --- the policy -------------------------------------------------------------------------------------------------------


def test_a_number_is_the_window_and_nonsense_is_refused() -> None:
    assert context_policy(5_000) == ContextPolicy(max_tokens=5_000)
    assert context_policy(None).max_tokens is None
    with pytest.raises(ValueError, match="max_tokens is at least 1"):
        context_policy(0)
    with pytest.raises(TypeError, match="a number of tokens"):
        context_policy("all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shrink_to < act_above"):
        ContextPolicy(shrink_to=0.9)
