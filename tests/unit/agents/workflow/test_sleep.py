"""A workflow that sleeps: a step that holds nothing, and is not done twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest

from agents.core.ambient import Ambient
from agents.core.runtime.engine import Finished, Outcome, Waiting, advance
from agents.core.runtime.journal import JournalSession
from agents.core.runtime.journaled import JournaledRuntime
from agents.core.runtime.unwinding import UnwindingSession
from agents.core.runtime.waiting import WaitingSession
from agents.core.workflow import Workflow, sleep
from loom.context import RunContext
from loom.events import Kind, Record
from loom.messages import utcnow
from tests.unit.agents.journals import ListJournal

HOUR = 3600


class Traces:
    """Steps that note that they were taken."""

    def __init__(self) -> None:
        self.done: list[str] = []

    async def before(self, value: str) -> str:
        self.done.append("before")
        return value + "!"

    async def after(self, value: str) -> str:
        self.done.append("after")
        return value.upper()

    def workflow(self, seconds: float | timedelta = HOUR) -> Workflow:
        return Workflow.chain([self.before, sleep("nap", seconds), self.after])


async def _advanced(
    program: Any, recorded: Sequence[Record] = (), kind: type[JournalSession] = WaitingSession
) -> tuple[Outcome, list[Record]]:
    journal = ListJournal()
    session = kind("s", journal, recorded)
    outcome = await advance(program, "go", Ambient(RunContext(session_id="s"), runtime=session), journal)
    return outcome, [*recorded, *journal.records]


def _later(records: Sequence[Record], by: timedelta) -> list[Record]:
    """The same journal, so much later: whatever it waits for is that much nearer."""

    def moved(record: Record) -> Record:
        if not record.step_key.startswith("step:nap") or "value" not in record.data:
            return record
        value = datetime.fromisoformat(record.data["value"]) - by
        return record.model_copy(update={"data": {**record.data, "value": value.isoformat()}})

    return [moved(record) for record in records]


async def test_a_run_that_sleeps_waits_without_anybody_until_its_time() -> None:
    traces, before = Traces(), utcnow()

    outcome, records = await _advanced(traces.workflow())

    assert isinstance(outcome, Waiting)
    assert (outcome.steps, traces.done) == (("step:nap#1",), ["before"])
    assert before + timedelta(seconds=HOUR) <= outcome.until <= utcnow() + timedelta(seconds=HOUR)
    assert (records[-1].kind, datetime.fromisoformat(records[-1].data["until"])) == (Kind.RUN_WAITING, outcome.until)


async def test_a_run_that_is_woken_early_sleeps_on_until_the_same_time() -> None:
    traces = Traces()
    first, records = await _advanced(traces.workflow())

    second, _ = await _advanced(traces.workflow(), records)

    assert second == first


async def test_a_run_goes_on_after_its_sleep_and_repeats_nothing() -> None:
    traces = Traces()
    _, records = await _advanced(traces.workflow())

    outcome, _ = await _advanced(traces.workflow(), _later(records, timedelta(seconds=HOUR)))

    assert isinstance(outcome, Finished)
    assert (outcome.answer.output, traces.done) == ("GO!", ["before", "after"])


async def test_a_crash_before_the_wait_is_written_does_not_sleep_anew() -> None:
    traces = Traces()
    outcome, records = await _advanced(traces.workflow())
    cut = [record for record in records if record.kind != Kind.RUN_WAITING]

    again, _ = await _advanced(traces.workflow(), _later(cut, timedelta(minutes=50)))

    assert isinstance(outcome, Waiting)
    assert isinstance(again, Waiting)
    assert again.until == outcome.until - timedelta(minutes=50)


async def test_the_first_of_several_sleeps_wakes_the_run() -> None:
    program = Workflow("naps").add_node("naps", Workflow.parallel([sleep("nap", 2 * HOUR), sleep("short", HOUR)]))

    outcome, _ = await _advanced(program.set_start("naps"))

    assert isinstance(outcome, Waiting)
    assert outcome.until < utcnow() + timedelta(seconds=HOUR + 1)
    assert len(outcome.steps) == 2


async def test_a_sleeping_run_that_is_looked_back_at_does_not_sleep() -> None:
    traces = Traces()
    _, records = await _advanced(traces.workflow())

    outcome, _ = await _advanced(traces.workflow(), records, UnwindingSession)

    assert isinstance(outcome, Waiting)
    assert traces.done == ["before"]


@pytest.mark.parametrize("runtime", [None, JournaledRuntime()], ids=["alone", "journaled"])
async def test_without_the_platform_the_program_itself_sleeps(runtime: Any) -> None:
    traces = Traces()
    workflow = Workflow.chain([traces.before, sleep("nap", timedelta(milliseconds=5)), traces.after], runtime=runtime)

    result = await workflow.run("go")

    assert (result.output, result.visited) == ("GO!", ["before", "nap", "after"])


async def test_a_session_of_the_sdk_sleeps_once_under_a_name() -> None:
    runtime = JournaledRuntime()
    async with runtime.session("s") as session:
        await session.sleep("nap", 0.005)
        with anyio.fail_after(60):
            await session.sleep("nap", HOUR)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 367 * 24 * HOUR, timedelta(days=-1)])
def test_a_time_that_is_none_is_refused_by_name(seconds: Any) -> None:
    with pytest.raises(ValueError, match="'nap' takes 0 to"):
        sleep("nap", seconds)
