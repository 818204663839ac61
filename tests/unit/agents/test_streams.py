"""The events of a run as they happen, to a reader who may be slow, leave, or be gone."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from agents.core.agent import Agent
from agents.core.ambient import stream_events
from agents.core.architectures.base import Emit
from agents.core.llm.echo import EchoModel
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.tools.tool import tool
from agents.core.workflow import Workflow
from audit.core.log import InMemoryAuditLog
from loom import background
from loom.context import RunContext, get_run_context
from loom.errors import ModelError
from loom.events import Event, EventKind
from loom.messages import ToolCall


@pytest.fixture
async def no_task_is_left() -> Any:
    yield
    for _ in range(20):
        await asyncio.sleep(0)
    assert [task for task in asyncio.all_tasks() if "TestRunner" not in repr(task.get_coro())] == []


async def test_a_stream_has_the_events_of_a_run_in_order() -> None:
    events = [event async for event in Agent("", model="echo").stream("a b", session_id="s")]
    kinds = [event.kind.value for event in events]
    assert kinds == ["started", *["model_chunk"] * 4, "memory_write", "completed"]
    assert {event.session_id for event in events} == {"s"}


async def test_a_slow_reader_slows_the_run() -> None:
    made = 0

    async def run(emit: Emit) -> None:
        nonlocal made
        for _ in range(1000):
            await emit(Event.started("s", "x"))
            made += 1

    stream = stream_events(run, capacity=8)
    await anext(stream)
    for _ in range(50):
        await anyio.sleep(0)
    assert made <= 8 + 2
    await stream.aclose()  # type: ignore[attr-defined]


async def test_an_agent_waits_for_its_reader() -> None:
    asked = 0

    @tool
    async def step() -> str:
        """Go on."""
        nonlocal asked
        asked += 1
        return "on"

    turn = ScriptedTurn(tool_calls=[ToolCall(tool="step")])
    stream = Agent("", model=ScriptedModel([turn] * 900), tools=[step], max_turns=900).stream("x")
    await anext(stream)
    with anyio.move_on_after(0.2):
        await anyio.sleep_forever()
    assert 0 < asked < 60
    await stream.aclose()  # type: ignore[attr-defined]


async def test_what_a_run_raises_comes_as_an_error_event_and_is_then_raised() -> None:
    def fail(messages: Any) -> ScriptedTurn:
        raise ModelError("gone")

    events: list[Event] = []
    stream = Agent("", model=ScriptedModel([fail])).stream("x")
    with pytest.raises(ModelError, match="gone"):
        await read(stream, events)
    assert [event.kind.value for event in events] == ["started", "error"]
    assert events[-1].session_id == ""
    assert events[-1].payload == {"type": "ModelError", "message": "gone"}


async def read(stream: AsyncIterator[Event], into: list[Event]) -> None:
    async for event in stream:
        into.append(event)  # noqa: PERF401  # what came before a failure must be kept


async def test_wrong_arguments_are_raised_from_the_iterator() -> None:
    with pytest.raises(TypeError, match="nonsense"):
        _ = [event async for event in Agent("", model="echo").stream("x", nonsense=1)]


@pytest.mark.usefixtures("no_task_is_left")
async def test_breaking_out_leaves_the_caller_alive_and_cancels_the_run() -> None:
    log = InMemoryAuditLog()
    agent = Agent("", model=EchoModel(chunk_delay_s=0.001), audit_log=log)
    async for event in agent.stream("a long answer " * 50):
        if event.kind is EventKind.MODEL_CHUNK:
            break
    del event
    gc.collect()
    for _ in range(20):
        await anyio.sleep(0.001)
    assert [e.action for e in await log.all_entries()] == ["run_started", "run_cancelled"]
    with anyio.CancelScope() as scope:
        await anyio.sleep(0)
    assert not scope.cancelled_caught


@pytest.mark.usefixtures("no_task_is_left")
async def test_a_run_that_is_left_while_it_waits_for_its_reader_is_cancelled_and_does_not_fail() -> None:
    ends: list[str] = []

    async def run(emit: Emit) -> None:
        try:
            while True:
                await emit(Event.started("s", "x"))
        except BaseException as error:
            ends.append(type(error).__name__)
            raise

    stream = stream_events(run, capacity=1)
    await anext(stream)
    await anyio.sleep(0.01)
    await stream.aclose()  # type: ignore[attr-defined]
    assert ends == ["CancelledError"]


@pytest.mark.usefixtures("no_task_is_left")
async def test_a_stream_may_be_closed_by_another_task_than_its_reader() -> None:
    stream = Agent("", model=EchoModel(chunk_delay_s=0.001)).stream("a b c " * 100)

    async def read() -> None:
        await anext(stream)

    async with anyio.create_task_group() as group:
        group.start_soon(read)
    async with anyio.create_task_group() as group:
        group.start_soon(stream.aclose)  # type: ignore[attr-defined]
    await anyio.sleep(0)


@pytest.mark.usefixtures("no_task_is_left")
async def test_a_cancelled_reader_cancels_its_run() -> None:
    ended = anyio.Event()

    async def run(emit: Emit) -> None:
        try:
            await emit(Event.started("s", "x"))
            await anyio.sleep_forever()
        finally:
            ended.set()

    with anyio.move_on_after(0.02):
        async for _ in stream_events(run):
            pass
    assert ended.is_set()


@pytest.mark.usefixtures("no_task_is_left")
async def test_a_stream_that_was_never_read_runs_nothing() -> None:
    ran: list[bool] = []

    async def run(emit: Emit) -> None:
        ran.append(True)

    stream = stream_events(run)
    await stream.aclose()  # type: ignore[attr-defined]
    assert ran == []


async def test_a_stream_leaves_nothing_in_the_readers_context() -> None:
    async for _ in Agent("", model="echo").stream("x", user_id="alice"):
        assert get_run_context() == RunContext()
        break
    workflow = Workflow.chain([Agent("", model="echo")])
    async for _ in workflow.stream("x", user_id="alice"):
        assert get_run_context() == RunContext()
        break
    await anyio.sleep(0.01)
    assert get_run_context() == RunContext()


async def test_a_stream_runs_in_the_context_it_is_first_read_in() -> None:
    from loom.context import set_run_context

    seen: list[str | None] = []

    async def run(emit: Emit) -> None:
        seen.append(get_run_context().user_id)
        await emit(Event.started("s", "x"))

    async with set_run_context(RunContext("carol")):
        _ = [event async for event in stream_events(run)]
    assert seen == ["carol"]


async def test_background_work_that_has_ended_can_be_stopped() -> None:
    done: list[bool] = []

    async def work() -> None:
        done.append(True)

    task = background.start(work)
    await anyio.sleep(0.001)
    await task.stop()
    await task.stop()
    assert done == [True]
