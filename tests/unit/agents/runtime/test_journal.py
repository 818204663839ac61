"""The journal of a run: what is written, what is given back, and what is noticed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from agents.core.concurrency import together
from agents.core.runtime.journal import JournalSession
from agents.core.runtime.waiting import Question, WaitingSession
from agents.core.runtime.written import storable, written
from loom.errors import NonDeterminism, RuntimeJournalError
from loom.events import Event, EventKind, Record
from loom.messages import ToolCall, ToolResult
from memory.core.backends.in_memory import InMemoryMemory
from memory.core.values import Episode
from tests.unit.agents.journals import ListJournal


class Ticket(BaseModel):
    title: str
    size: int = 1


class Unreadable:
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


def replay(journal: ListJournal, upto: int | None = None) -> tuple[JournalSession, ListJournal]:
    later = ListJournal()
    return JournalSession("s", later, journal.records[:upto]), later


async def fetch(number: int) -> int:
    return number * 2


async def test_a_step_writes_its_start_before_its_effect_and_its_result_after_it() -> None:
    journal = ListJournal()
    seen: list[int] = []

    async def effect() -> str:
        seen.append(len(journal.texts))
        return "done"

    assert await JournalSession("s", journal).step("step:a#1", effect) == "done"
    assert seen == [1]
    assert journal.steps == [
        ("architecture.step.started", "step:a#1"),
        ("architecture.step.completed", "step:a#1"),
    ]


async def test_a_recorded_step_is_given_back_and_not_run_again() -> None:
    journal = ListJournal()
    await JournalSession("s", journal).step("step:a#1", fetch, 4)
    session, later = replay(journal)

    async def fetch_again(number: int) -> int:
        raise AssertionError("was run again")

    fetch_again.__name__ = "fetch"
    assert session.is_recorded("step:a#1")
    assert await session.step("step:a#1", fetch_again, 4) == 8
    assert later.texts == []


async def test_a_step_that_was_cut_off_is_run_again_without_a_second_start() -> None:
    journal = ListJournal()
    await JournalSession("s", journal).step("step:a#1", fetch, 4)
    session, later = replay(journal, upto=1)
    assert not session.is_recorded("step:a#1")
    assert await session.step("step:a#1", fetch, 4) == 8
    assert later.steps == [("architecture.step.completed", "step:a#1")]


async def test_a_step_that_fails_is_not_recorded_and_can_be_tried_again() -> None:
    journal = ListJournal()

    async def fail() -> None:
        raise OSError("down")

    with pytest.raises(OSError, match="down"):
        await JournalSession("s", journal).step("step:a#1", fail)
    assert [kind for kind, _ in journal.steps] == ["architecture.step.started"]


async def test_other_arguments_under_a_recorded_name_are_non_determinism_that_names_the_step() -> None:
    journal = ListJournal()
    await JournalSession("s", journal).step("step:a#1", fetch, 4)
    session, _ = replay(journal)
    with pytest.raises(NonDeterminism, match=r"step:a#1") as caught:
        await session.step("step:a#1", fetch, 5)
    assert caught.value.facts["step_key"] == "step:a#1"


async def test_asked_to_pay_500_a_replay_does_not_give_back_the_5_that_were_paid() -> None:
    journal = ListJournal()

    async def pay(call: ToolCall) -> ToolResult:
        return ToolResult.success(call.id, call.args["amount"])

    session = JournalSession("s", journal)
    await session.step("turn:1/tool:call_1", pay, ToolCall(tool="pay", args={"amount": 5}))
    session, _ = replay(journal)
    with pytest.raises(NonDeterminism, match=r"turn:1/tool:call_1"):
        await session.step("turn:1/tool:call_1", pay, ToolCall(tool="pay", args={"amount": 500}))


async def test_parallel_steps_replay_in_any_order() -> None:
    journal = ListJournal()
    session = JournalSession("s", journal)
    await together([lambda n=n: session.step(f"turn:1/tool:call_{n}", fetch, n) for n in range(5)])
    again, later = replay(journal)
    for n in reversed(range(5)):
        assert await again.step(f"turn:1/tool:call_{n}", fetch, n) == n * 2
    assert later.texts == []


async def test_a_model_comes_back_as_the_model_that_the_step_declares() -> None:
    async def make() -> Ticket:
        return Ticket(title="printer")

    journal = ListJournal()
    assert await JournalSession("s", journal).step("step:a#1", make) == Ticket(title="printer")
    session, _ = replay(journal)
    assert await session.step("step:a#1", make) == Ticket(title="printer")


async def test_closures_of_one_function_are_read_back_by_their_own_annotations() -> None:
    def maker(kind: Any) -> Any:
        async def make() -> Any:
            return {"title": "1", "size": 2}

        make.__annotations__["return"] = kind
        return make

    journal = ListJournal()
    session = JournalSession("s", journal)
    assert await session.step("step:a#1", maker(Ticket)) == Ticket(title="1", size=2)
    assert await session.step("step:b#1", maker(dict[str, Any])) == {"title": "1", "size": 2}
    again, _ = replay(journal)
    assert await again.step("step:a#1", maker(Ticket)) == Ticket(title="1", size=2)


async def test_a_result_without_an_annotation_is_plain_json_live_and_replayed() -> None:
    async def make():  # type: ignore[no-untyped-def]
        return Ticket(title="printer"), {1: {"a"}}

    journal = ListJournal()
    live = await JournalSession("s", journal).step("step:a#1", make)
    session, _ = replay(journal)
    assert live == await session.step("step:a#1", make) == [{"title": "printer", "size": 1}, {"1": ["a"]}]


async def test_a_recorded_value_that_does_not_fit_is_refused_by_the_name_of_its_step() -> None:
    async def make() -> Ticket:
        return Ticket(title="printer")

    recorded = [Record(kind="architecture.step.completed", step_key="step:a#1", data={"value": {"size": "big"}})]
    with pytest.raises(RuntimeJournalError, match=r"step:a#1"):
        await JournalSession("s", ListJournal(), recorded).step("step:a#1", make)


@pytest.mark.parametrize("annotation", [object, "Nowhere", Unreadable, "list[Unreadable]"])
async def test_an_annotation_that_json_cannot_express_gives_plain_json(annotation: Any) -> None:
    async def make() -> Any:
        return [1, "a"]

    make.__annotations__["return"] = annotation
    assert await JournalSession("s", ListJournal()).step("step:a#1", make) == [1, "a"]


@dataclass
class Knot:
    inner: Any = None


def knot() -> Knot:
    made = Knot()
    made.inner = made
    return made


@pytest.mark.parametrize(
    "value",
    [
        *(b"\xff\xfe", {Unreadable(): 1}, [Unreadable()], knot(), math.nan, [math.inf], "a\x00b", "\ud800"),
        *({"k\x00": 1}, 2.0**60, -0.0, {1, 2}, 10**30),
    ],
)
async def test_whatever_a_step_returns_is_written_down_and_replays_alike(value: Any) -> None:
    async def make():  # type: ignore[no-untyped-def]
        return value

    journal = ListJournal()
    live = await JournalSession("s", journal).step("step:a#1", make)
    session, _ = replay(journal)
    again = await session.step("step:a#1", make)
    assert repr(live) == repr(again)
    assert "\\u0000" not in journal.texts[-1]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(json_values)
def test_what_is_storable_stays_as_it_is(value: Any) -> None:
    once = storable(value)
    assert storable(once) == once
    assert "\x00" not in repr(once)


def test_postgresql_gets_no_nul_no_lone_surrogate_and_no_number_that_json_lacks() -> None:
    assert storable({"a\x00": ["\ud800", math.nan, -math.inf, 1.5, (True, None)]}) == {
        "a\ufffd": ["\ufffd", "nan", "-inf", 1.5, [True, None]]
    }
    assert written(b"\xff") == "base64:/w=="


async def test_a_stream_is_passed_on_as_it_comes_and_replayed_at_once() -> None:
    taken: list[int] = []

    async def numbers(limit: int):  # type: ignore[no-untyped-def]
        for n in range(limit):
            taken.append(n)
            yield n

    journal = ListJournal()
    seen: list[tuple[int, int]] = [
        (n, len(taken)) async for n in JournalSession("s", journal).stream_step("step:s#1", numbers, 3)
    ]
    assert seen == [(0, 1), (1, 2), (2, 3)]
    session, _ = replay(journal)
    assert [n async for n in session.stream_step("step:s#1", numbers, 3)] == [0, 1, 2]
    assert taken == [0, 1, 2]
    with pytest.raises(NonDeterminism, match=r"step:s#1"):
        _ = [n async for n in session.stream_step("step:s#1", numbers, 4)]


async def test_a_stream_that_breaks_off_is_not_recorded() -> None:
    async def numbers():  # type: ignore[no-untyped-def]
        yield 1
        raise OSError("cut")

    journal = ListJournal()
    with pytest.raises(OSError, match="cut"):
        _ = [n async for n in JournalSession("s", journal).stream_step("step:s#1", numbers)]
    assert len(journal.texts) == 1


def told(name: str, **data: Any) -> Event:
    return Event.architecture_event("s", name, **data)


async def test_notes_are_not_written_twice() -> None:
    journal = ListJournal()
    session = JournalSession("s", journal)
    for n in (1, 1, 2):
        session.note(told("debate.round", number=n))
    again, later = replay(journal)
    for n in (1, 1, 2, 3):
        again.note(told("debate.round", number=n))
    assert [record.data["number"] for record in later.records] == [3]


async def test_a_note_that_a_replay_does_not_repeat_hides_no_later_one() -> None:
    journal = ListJournal()
    warning = Event(kind=EventKind.BUDGET_WARNING, session_id="s", payload={"status": {"reason": "tokens at 80%"}})
    JournalSession("s", journal).note(warning)
    again, later = replay(journal)
    again.note(warning.model_copy(update={"payload": {"status": {"reason": "tokens at 95%"}}}))
    assert [record.data["status"]["reason"] for record in later.records] == ["tokens at 95%"]


async def test_a_note_of_anything_can_be_written() -> None:
    journal = ListJournal()
    payload = {"workflow": "w", "node": "n", "output": Unreadable(), "extra": b"\xff"}
    session = JournalSession("s", journal)
    session.note(Event(kind=EventKind.WORKFLOW_STEP_COMPLETED, session_id="s", payload=payload))
    assert "output" not in journal.records[0].data


async def test_what_a_session_writes_can_be_held_by_any_database() -> None:
    journal = ListJournal()
    session = WaitingSession("s", journal)
    dirty = "a\x00b\ud800"
    call = ToolCall(tool="pay", args={"to": dirty})

    async def pay(call: ToolCall) -> dict[str, Any]:
        return {dirty: call.args}

    await session.step("turn:1/tool:call_1", pay, call, idempotency_key=dirty)
    session.note(told("debate.round", said=dirty))
    await session.deliver("go", dirty)
    session.ask("turn:2/tool:call_1", Question(ToolCall(tool="pay", args={}), dirty))
    assert len(journal.texts) == 5
    assert not [text for text in journal.texts if "\\u0000" in text]


async def test_a_refused_write_stops_the_step_before_its_effect() -> None:
    ran: list[int] = []

    async def effect() -> None:
        ran.append(1)

    with pytest.raises(Exception, match="no room"):
        await JournalSession("s", ListJournal(full=0)).step("step:a#1", effect)
    assert ran == []


class Elsewhere(InMemoryMemory):
    """A memory that others can read."""

    in_process = False


@pytest.mark.parametrize(("memory", "remembered"), [(InMemoryMemory(), ["hi"]), (Elsewhere(), [])])
async def test_only_a_memory_that_outlives_the_process_waits_until_the_journal_is_on_disk(
    memory: InMemoryMemory, remembered: list[str]
) -> None:
    class Stuck(ListJournal):
        async def flush(self) -> None:
            await anyio.sleep_forever()

    episode = Episode(session_id="s", input="hi", output="ho")
    with anyio.move_on_after(0.01):
        await JournalSession("s", Stuck()).step("remember", memory.remember, episode)
    assert [known.input for known in await memory.recall("hi")] == remembered


async def test_a_signal_is_on_disk_when_it_is_delivered() -> None:
    journal = ListJournal()
    await JournalSession("s", journal).deliver("go", {"a": 1})
    assert journal.records[0].data == {"name": "go", "payload": {"a": 1}}


async def test_cancelling_a_step_records_nothing_of_it() -> None:
    journal = ListJournal()
    with anyio.move_on_after(0.01):
        await JournalSession("s", journal).step("step:a#1", anyio.sleep, 5)
    assert len(journal.texts) == 1


async def test_a_run_that_is_brought_to_rest_finishes_its_step_and_begins_no_other() -> None:
    journal = ListJournal()
    session = JournalSession("s", journal)
    begun, may_end = anyio.Event(), anyio.Event()

    async def first() -> str:
        begun.set()
        await may_end.wait()
        return "done"

    async def second() -> str:
        raise AssertionError("it must not begin")

    async def both() -> None:
        await session.step("step:one", first)
        await session.step("step:two", second)

    async with anyio.create_task_group() as group:
        group.start_soon(both)
        await begun.wait()
        session.brake.pull()
        assert session.brake.in_hand == 1
        may_end.set()
        await anyio.wait_all_tasks_blocked()
        assert session.brake.in_hand == 0
        group.cancel_scope.cancel()

    assert [(record.kind, record.step_key) for record in journal.records] == [
        ("architecture.step.started", "step:one"),
        ("architecture.step.completed", "step:one"),
    ]
