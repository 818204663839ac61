"""What every runtime promises: the one that remembers nothing, and those that remember."""

from __future__ import annotations

import gc
import json
import os
import pickle
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import psycopg
import pytest
from anyio import wait_all_tasks_blocked

from agents.core.agent import Agent
from agents.core.concurrency import together
from agents.core.llm.echo import EchoModel
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.runtime.base import InProcRuntime, Runtime
from agents.core.runtime.journaled import JournaledRuntime, JournaledSession
from agents.core.runtime.postgres import PostgresJournalStore, PostgresRuntime
from agents.core.runtime.resolver import resolve_runtime
from agents.core.runtime.sqlite import SqliteJournalStore, SqliteRuntime
from agents.core.runtime.store import InMemoryJournalStore, JournaledRun, JournalStore
from agents.core.runtime.writer import Append, Writer
from agents.core.tools.tool import tool
from agents.core.workflow.graph import Workflow
from governance.core.budget import BudgetConfig
from governance.core.standard_budget import StandardBudget
from loom.context import RunContext, get_run_context
from loom.errors import (
    ConfigError,
    Conflict,
    Invalid,
    LoomError,
    NonDeterminism,
    NotFound,
    RuntimeJournalError,
    Unavailable,
)
from loom.events import Kind, Record
from loom.messages import ToolCall
from memory.core.backends.in_memory import InMemoryMemory
from tests.contract.durable import new_place, new_schema, opened

KINDS = ["memory", "sqlite", "postgres"]
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=KINDS)
async def durable(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[JournaledRuntime]:
    async with opened(request.param, new_place(request.param, tmp_path)) as runtime:
        yield runtime


@pytest.fixture(params=["inproc", *KINDS])
async def runtime(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    if request.param == "inproc":
        yield InProcRuntime()
        return
    async with opened(request.param, new_place(request.param, tmp_path)) as made:
        yield made


class Counted:
    """A step that can be counted."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    async def __call__(self, value: Any) -> Any:
        self.calls.append(value)
        return {"value": value, "call": len(self.calls)}


async def letters(count: int) -> AsyncIterator[str]:
    for letter in "abc"[:count]:
        yield letter


def agent(runtime: Any, *turns: Any, tools: Any = None, **options: Any) -> Agent:
    return Agent(
        "You pay bills.",
        model=ScriptedModel([ScriptedTurn(t) if isinstance(t, str) else t for t in turns]),
        runtime=runtime,
        tools=tools,
        **options,
    )


def calling(name: str, **args: Any) -> ScriptedTurn:
    return ScriptedTurn(tool_calls=[ToolCall(tool=name, args=args)])


def down(messages: Any) -> ScriptedTurn:
    raise Unavailable("the model is down")


# every runtime


async def test_a_runtime_satisfies_the_protocol(runtime: Any) -> None:
    assert isinstance(runtime, Runtime)
    assert resolve_runtime(runtime) is runtime


async def test_a_step_outside_of_any_session_just_runs(runtime: Any) -> None:
    step = Counted()

    assert (await runtime.step("pay", step, 5))["call"] == 1
    assert (await runtime.step("pay", step, 5))["call"] == 2
    assert [letter async for letter in runtime.stream_step("say", letters, 2)] == ["a", "b"]


async def test_a_step_gets_its_arguments_and_raises_what_it_raises(runtime: Any) -> None:
    async def divide(by: int, *, of: int) -> float:
        return of / by

    async with runtime.session("s"):
        assert await runtime.step("ok", divide, 2, of=10) == 5
        with pytest.raises(ZeroDivisionError):
            await runtime.step("broken", divide, 0, of=10)


async def test_a_stream_passes_item_by_item(runtime: Any) -> None:
    seen: list[str] = []

    async def watched() -> AsyncIterator[str]:
        for letter in "ab":
            seen.append(f"made {letter}")
            yield letter

    async with runtime.session("s"):
        async for letter in runtime.stream_step("say", watched):
            seen.append(f"got {letter}")  # noqa: PERF401  one by one is the point

    assert seen == ["made a", "got a", "made b", "got b"]


async def test_delivered_signals_are_read_by_the_session_in_their_order(runtime: Any) -> None:
    async with runtime.session("s") as session:
        await runtime.signal("s", "approved", {"by": "ann"})
        await runtime.signal("s", "approved", {"by": "ben"})

        assert [await session.signals.wait("approved"), await session.signals.wait("approved")] == [
            {"by": "ann"},
            {"by": "ben"},
        ]
        assert len(session.signals.all("approved")) == 2
        assert session.signals.all("refused") == []


async def test_a_session_waits_for_a_signal_that_comes_later(runtime: Any) -> None:
    async with runtime.session("s") as session:
        with anyio.fail_after(10):
            heard, _ = await together(
                [lambda: session.signals.wait("go"), lambda: runtime.signal("s", "go", 1)],
            )

    assert heard == 1


async def test_no_object_is_kept_of_a_finished_session(runtime: Any) -> None:
    echo = Agent("x", model=EchoModel(), runtime=runtime)
    for number in range(20):
        await echo.run("hi", session_id=f"gone{number}", user_id="ann")
        async with runtime.session(f"gone-bare{number}"):
            await runtime.step("one", Counted(), 1)
    await wait_all_tasks_blocked()
    gc.collect()

    kept = [o for o in gc.get_objects() if isinstance(o, JournaledSession) and o.id.startswith("gone")]

    assert kept == []
    assert getattr(runtime, "_sessions", {}) == {}


# what is remembered


async def test_a_recorded_step_is_given_back_and_not_run_again(durable: JournaledRuntime) -> None:
    step = Counted()
    async with durable.session("s"):
        first = await durable.step("pay", step, 5)
        within = await durable.step("pay", step, 5)
    async with durable.session("s"):
        later = await durable.step("pay", step, 5)

    assert first == within == later == {"value": 5, "call": 1}
    assert step.calls == [5]


async def test_an_exception_is_not_recorded_so_the_step_runs_again(durable: JournaledRuntime) -> None:
    outcomes: list[Any] = [RuntimeError("no"), "yes"]

    async def moody() -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with pytest.raises(RuntimeError, match="no"):
        async with durable.session("s"):
            await durable.step("ask", moody)
    async with durable.session("s"):
        assert await durable.step("ask", moody) == "yes"


async def test_a_whole_stream_is_replayed_and_a_broken_one_is_not(durable: JournaledRuntime) -> None:
    calls: list[int] = []

    async def stream() -> AsyncIterator[str]:
        calls.append(1)
        yield "a"
        if len(calls) == 1:
            raise RuntimeError("cut off")
        yield "b"

    async with durable.session("s"):
        with pytest.raises(RuntimeError, match="cut off"):
            _ = [item async for item in durable.stream_step("say", stream)]
    for _ in range(2):
        async with durable.session("s"):
            assert [item async for item in durable.stream_step("say", stream)] == ["a", "b"]

    assert len(calls) == 2


async def test_sessions_are_apart_and_steps_within_them_too(durable: JournaledRuntime) -> None:
    step = Counted()
    async with durable.session("a"):
        await durable.step("one", step, 1)
        await durable.step("two", step, 2)
    async with durable.session("b"):
        await durable.step("one", step, 3)

    assert step.calls == [1, 2, 3]


async def test_parallel_steps_replay_in_any_order(durable: JournaledRuntime) -> None:
    step = Counted()
    async with durable.session("s"):
        first = await together([lambda n=n: durable.step(f"part:{n}", step, n) for n in range(5)])  # type: ignore[misc]
    async with durable.session("s"):
        second = await together([lambda n=n: durable.step(f"part:{n}", step, n) for n in (3, 1, 0)])  # type: ignore[misc]

    assert second == [first[3], first[1], first[0]]
    assert len(step.calls) == 5


async def test_one_session_may_be_entered_by_many_at_once(durable: JournaledRuntime) -> None:
    step = Counted()

    async def work(number: int) -> Any:
        async with durable.session("shared"):
            return await durable.step(f"part:{number}", step, number)

    await together([lambda n=n: work(n) for n in range(8)])  # type: ignore[misc]
    await together([lambda n=n: work(n) for n in range(8)])  # type: ignore[misc]

    assert sorted(step.calls) == list(range(8))


async def test_nested_sessions_of_two_runtimes_each_get_their_own_steps(durable: JournaledRuntime) -> None:
    other, step = JournaledRuntime(), Counted()
    async with durable.session("s"), other.session("t"):
        await durable.step("one", step, 1)
        await other.step("two", step, 2)

    assert await durable.store.get_step("s", "one") is not None
    assert await durable.store.get_step("s", "two") is None
    assert await other.store.get_step("t", "two") is not None


async def test_after_a_session_that_raised_steps_are_outside_again(durable: JournaledRuntime) -> None:
    step = Counted()
    with pytest.raises(RuntimeError):
        async with durable.session("s"):
            raise RuntimeError
    await durable.step("pay", step, 1)

    assert await durable.store.get_step("s", "pay") is None


async def test_a_step_with_other_arguments_is_refused_and_not_answered_from_the_journal(
    durable: JournaledRuntime,
) -> None:
    """B2: asked to pay 500, the journal answered with what paying 5 had come to."""
    step = Counted()
    async with durable.session("s"):
        await durable.step("pay", step, 5)
    async with durable.session("s"):
        with pytest.raises(NonDeterminism, match="pay"):
            await durable.step("pay", step, 500)

    assert step.calls == [5]


async def test_a_signal_to_a_closed_session_is_there_when_it_is_opened(durable: JournaledRuntime) -> None:
    """C22: signals were stored where nothing read them."""
    await durable.signal("s", "approved", {"by": "ann"})
    for _ in range(2):
        async with durable.session("s") as session:
            assert await session.signals.wait("approved") == {"by": "ann"}


async def test_a_signal_to_a_cut_off_run_is_in_its_journal_and_never_in_another_users(
    durable: JournaledRuntime,
) -> None:
    with pytest.raises(Unavailable):
        await agent(durable, down).run("go", session_id="s", user_id="ann")

    await durable.signal("s", "approved", 1, user_id="ann")
    with pytest.raises(NotFound, match="cem"):
        await durable.signal("s", "approved", 2, user_id="cem")

    [run] = await durable.unfinished(user_id="ann")
    async with durable.run(RunContext("ann", "s", run.id), "go") as session:
        assert session.signals.all("approved") == [1]


async def test_awkward_values_come_back_as_they_went_in(durable: JournaledRuntime) -> None:
    values: dict[str, Any] = {
        "text": "nul \x00, half a pair \ud800, quote ' \" \\",
        "numbers": [0, -0.0, 1e300, 2**70, float("inf"), float("nan")],
        "deep": {"": None, "ключ": [True, {"a": []}]},
    }

    async def odd() -> Any:
        return values

    async with durable.session("s"):
        first = await durable.step("odd", odd)
    async with durable.session("s"):
        assert await durable.step("odd", odd) == first


# the store


async def test_a_store_satisfies_the_protocol_and_its_steps_are_views_of_its_records(
    durable: JournaledRuntime,
) -> None:
    store = durable.store
    await store.put_step("s", "one", {"a": 1})
    await store.put_stream("s", "letters", ["a", "b"])
    async with durable.session("s"):
        await durable.step("two", Counted(), 2)

    assert isinstance(store, JournalStore)
    entry = await store.get_step("s", "one")
    assert entry is not None
    assert entry.value == {"a": 1}
    assert entry.created_at > 1_500_000_000
    assert await store.get_stream("s", "letters") == ["a", "b"]
    assert await store.get_step("s", "letters") is None
    assert await store.get_stream("s", "one") is None
    assert await store.get_step("other", "one") is None
    two = await store.get_step("s", "two")
    assert two is not None
    assert two.value == {"value": 2, "call": 1}


async def test_what_is_put_into_a_store_is_replayed(durable: JournaledRuntime) -> None:
    await durable.store.put_step("s", "pay", "paid before")
    step = Counted()
    async with durable.session("s"):
        assert await durable.step("pay", step, 5) == "paid before"
    assert step.calls == []


async def test_only_the_last_attempt_at_a_run_may_write(durable: JournaledRuntime) -> None:
    store, run = durable.store, JournaledRun("run_1", "ann", "s", "go")
    first, second = await store.open(run), await store.open(run)
    record = Record(kind="architecture.said", data={"n": 1})

    written = (
        await store.append([Append("run_1", first, [record])]),
        await store.append([Append("run_1", second, [record])]),
    )

    assert written == (set(), {"run_1"})
    assert len(await store.read("run_1")) == 1


async def test_a_process_that_lost_its_run_stops_before_the_next_effect(durable: JournaledRuntime) -> None:
    context, step = RunContext("ann", "s", "run_1"), Counted()

    async def first() -> None:
        async with durable.run(context, "go") as session:
            await session.step("pay", step, 1)
            await session.deliver("flush", None)  # else the take-over may come before the result is on disk
            async with durable.run(context, "go") as other:
                await other.step("pay", step, 1)
            await session.step("more", step, 2)

    with pytest.raises(Conflict, match="run_1"):
        await first()

    assert step.calls == [1]


async def test_a_run_is_opened_only_as_what_it_is(durable: JournaledRuntime) -> None:
    store = durable.store
    await store.open(JournaledRun("run_1", "ann", "s", "go"))
    for other in (
        JournaledRun("run_1", "cem", "s", "go"),
        JournaledRun("run_1", None, "s", "go"),
        JournaledRun("run_1", "ann", "t", "go"),
        JournaledRun.bare("run_1"),
    ):
        with pytest.raises(Conflict):
            await store.open(other)
    fence = await store.open(JournaledRun("run_1", "ann", "s", "go"))
    await store.append([Append("run_1", fence, [Record(kind=Kind.RUN_SUCCEEDED)])])
    with pytest.raises(Conflict, match="ended"):
        await store.open(JournaledRun("run_1", "ann", "s", "go"))


async def test_unfinished_runs_are_the_last_of_their_user_and_session(durable: JournaledRuntime) -> None:
    store = durable.store
    for run_id, user, session in [
        ("r1", "ann", "s"),
        ("r2", "ann", "s"),
        ("r3", "cem", "s"),
        ("r4", None, "s"),
        ("r5", "ann", "t"),
        ("r6", "", "s"),
    ]:
        await store.open(JournaledRun(run_id, user, session, {"to": run_id}))
    await store.append([Append("r5", None, [Record(kind=Kind.RUN_SUCCEEDED)])])
    await store.put_step("bare", "one", 1)

    async def ids(**asked: Any) -> list[str]:
        return [run.id for run in await durable.unfinished(**asked)]

    assert await ids() == ["r2", "r3", "r4", "r6"]
    assert await ids(user_id="ann") == ["r2"]
    assert await ids(user_id=None) == ["r4"]
    assert await ids(user_id="") == ["r6"]
    assert await ids(session_id="t") == []
    assert (await durable.unfinished(user_id="cem"))[0].input == {"to": "r3"}


async def test_what_is_written_of_a_user_can_be_forgotten_and_nothing_else_is(durable: JournaledRuntime) -> None:
    store = durable.store
    for run_id, user, session in [("r1", "ann", "s"), ("r2", "ann", "t"), ("r3", "cem", "s"), ("r4", None, "s")]:
        await store.open(JournaledRun(run_id, user, session, "secret"))
        await store.append([Append(run_id, None, [Record(kind="architecture.said", data={"n": 1})])])

    assert await durable.forget(user_id="ann", session_id="s") == 1
    assert [run.id for run in await durable.unfinished()] == ["r2", "r3", "r4"]
    assert await durable.forget(user_id="ann") == 1
    assert await durable.forget(user_id="ann") == 0
    assert [len(await store.read(run_id)) for run_id in ("r1", "r2", "r3", "r4")] == [0, 0, 1, 1]


async def test_a_large_value_is_given_back_whole_and_forgotten_with_its_run(durable: JournaledRuntime) -> None:
    page = "a page of the archive " * 5_000
    result = {"ok": True, "pages": [page, {"$blob": page}], "n": 1}
    store = durable.store
    await store.open(JournaledRun("r1", "ann", "s", "go"))
    for _ in range(2):
        await store.append([Append("r1", None, [Record(kind="architecture.said", data={"value": result})])])

    assert [row.record.data["value"] for row in await store.read("r1")] == [result] * 2
    assert await durable.forget(user_id="ann") == 1
    await store.open(JournaledRun("r1", "ann", "s", "go"))
    assert await store.read("r1") == []


# runs of agents


async def test_a_second_turn_of_a_session_is_answered_anew_and_kept(durable: JournaledRuntime) -> None:
    """B1: turn 2 of a session was answered with turn 1's answer and never stored."""
    memory = InMemoryMemory()
    echo = Agent("x", model=EchoModel(), runtime=durable, memory=memory)

    first = await echo.run("one", user_id="ann", session_id="s")
    second = await echo.run("two", user_id="ann", session_id="s")

    assert ("one" in first.output, "two" in second.output) == (True, True)
    assert len(await memory.session_messages("s", user_id="ann", limit=20)) == 4


async def test_users_with_one_session_id_never_get_each_others_answers(durable: JournaledRuntime) -> None:
    """B1: cem got ann's answer."""
    secret = await Agent("x", model=EchoModel(), runtime=durable).run("the secret plan", user_id="ann", session_id="s")

    for user_id in ("cem", None, ""):
        echo = Agent("x", model=EchoModel(), runtime=durable)
        for answered in (
            await echo.run("hello", user_id=user_id, session_id="s"),
            await echo.resume("s", "hello", user_id=user_id),
        ):
            assert "secret" not in answered.output
    assert "secret" in secret.output


async def test_a_cut_off_run_of_one_user_is_not_resumed_by_another(durable: JournaledRuntime) -> None:
    paid: list[int] = []

    def pay(amount: int) -> str:
        paid.append(amount)
        return f"paid {amount}"

    with pytest.raises(Unavailable):
        await agent(durable, calling("pay", amount=5), down, tools=[pay]).run("pay", user_id="ann", session_id="s")
    other = await agent(durable, "nothing to do", tools=[pay]).resume("s", "pay", user_id="cem")

    assert other.output == "nothing to do"
    assert [run.user_id for run in await durable.unfinished()] == ["ann"]


async def test_resume_goes_on_with_the_run_that_was_cut_off(durable: JournaledRuntime) -> None:
    """C8: what had been done is not done again, and what follows runs."""
    paid: list[int] = []

    def pay(amount: int) -> str:
        paid.append(amount)
        return f"paid {amount}"

    with pytest.raises(Unavailable):
        await agent(durable, calling("pay", amount=5), down, tools=[pay]).run("pay 5", user_id="ann", session_id="s")
    [cut_off] = await durable.unfinished(user_id="ann")
    result = await agent(durable, "It is paid.", tools=[pay]).resume("s", "pay 5", user_id="ann")

    assert cut_off.input == "pay 5"
    assert (result.output, result.turns) == ("It is paid.", 2)
    assert paid == [5]
    assert await durable.unfinished() == []


async def test_resume_of_a_finished_session_runs_the_new_prompt(durable: JournaledRuntime) -> None:
    """C8: `resume(new prompt)` gave back the old answer."""
    clerk = agent(durable, "old answer", "new answer", "newest answer")
    await clerk.run("old", user_id="ann", session_id="s")

    assert (await clerk.resume("s", "new", user_id="ann")).output == "new answer"
    assert (await clerk.resume("s", "old", user_id="ann")).output == "newest answer"


async def test_resume_with_another_prompt_finishes_what_was_cut_off_and_then_answers_it(
    durable: JournaledRuntime,
) -> None:
    clerk = agent(durable, down, "the first answer", "the second answer")
    with pytest.raises(Unavailable):
        await clerk.run("first", user_id="ann", session_id="s")

    result = await clerk.resume("s", "second", user_id="ann")

    assert result.output == "the second answer"
    assert await durable.unfinished() == []


async def test_an_empty_prompt_only_finishes_what_was_cut_off(durable: JournaledRuntime) -> None:
    clerk = agent(durable, down, "the first answer")
    with pytest.raises(Unavailable):
        await clerk.run("first", session_id="s")

    assert (await clerk.resume("s", "")).output == "the first answer"


async def test_a_new_run_does_not_replay_the_one_that_was_cut_off(durable: JournaledRuntime) -> None:
    paid: list[int] = []

    def pay(amount: int) -> str:
        paid.append(amount)
        return "paid"

    with pytest.raises(Unavailable):
        await agent(durable, calling("pay", amount=5), down, tools=[pay]).run("pay", user_id="ann", session_id="s")
    await agent(durable, calling("pay", amount=500), "Done.", tools=[pay]).run("pay", user_id="ann", session_id="s")

    assert paid == [5, 500]
    assert await durable.unfinished() == []


async def test_a_run_whose_caller_leaves_can_be_resumed(durable: JournaledRuntime) -> None:
    caller = anyio.CancelScope()

    async def slow(messages: Any) -> ScriptedTurn:
        caller.cancel()
        await anyio.sleep_forever()
        raise AssertionError

    clerk = agent(durable, calling("pay", amount=5), slow, "Done.", tools=[tool(_pay, name="pay")])
    with caller:
        await clerk.run("pay", session_id="s")

    assert len(await durable.unfinished()) == 1
    assert (await clerk.resume("s", "pay")).output == "Done."


async def test_two_agents_of_one_workflow_have_journals_of_their_own(durable: JournaledRuntime) -> None:
    flow = Workflow.chain([agent(durable, "from the first"), agent(durable, "from the second")])

    result = await flow.run("go", user_id="ann", session_id="s")

    assert result.output == "from the second"
    assert await durable.unfinished() == []


async def test_a_hundred_runs_at_once_keep_their_journals_apart(durable: JournaledRuntime) -> None:
    echo = Agent("x", model=EchoModel(), runtime=durable)

    results = await together(
        [lambda n=n: echo.run(f"number {n}.", user_id=f"u{n % 7}", session_id=f"s{n % 3}") for n in range(100)]  # type: ignore[misc]
    )

    assert all(f"number {n}." in result.output for n, result in enumerate(results))


# what a crash in the middle of a tool means


def _pay(amount: int) -> str:
    return f"paid {amount}"


class Ledger:
    """A tool of some effect class whose run is cut off at its first call, after its effect."""

    def __init__(self, effect: Any) -> None:
        self.keys: list[str | None] = []
        self.run = anyio.CancelScope()
        self.tool = tool(self.pay, name="pay", effect=effect)

    async def pay(self, amount: int) -> str:
        self.keys.append(get_run_context().idempotency_key)
        if len(self.keys) == 1:
            self.run.cancel()
            await anyio.sleep_forever()
        return f"paid {amount}"


async def _cut_off_in_the_tool(durable: JournaledRuntime, ledger: Ledger) -> None:
    with ledger.run:
        await agent(durable, calling("pay", amount=5), tools=[ledger.tool]).run("pay", session_id="s")
    assert len(ledger.keys) == 1


@pytest.mark.parametrize("effect", ["read", "idempotent", "keyed"])
async def test_a_tool_in_doubt_is_called_again_with_the_same_key(durable: JournaledRuntime, effect: str) -> None:
    ledger = Ledger(effect)
    await _cut_off_in_the_tool(durable, ledger)

    result = await agent(durable, "Done.", tools=[ledger.tool]).resume("s", "pay")

    assert result.output == "Done."
    assert len(ledger.keys) == 2
    assert ledger.keys[0] == ledger.keys[1]
    assert ledger.keys[0]


async def test_an_irreversible_tool_in_doubt_is_not_called_again_and_the_model_is_told(
    durable: JournaledRuntime,
) -> None:
    ledger = Ledger("irreversible")
    await _cut_off_in_the_tool(durable, ledger)
    heard: list[str] = []

    def look(messages: Any) -> ScriptedTurn:
        heard.append(messages[-1].content)
        return ScriptedTurn("I will look into it.")

    result = await agent(durable, look, tools=[ledger.tool]).resume("s", "pay")

    assert result.output == "I will look into it."
    assert len(ledger.keys) == 1
    assert "not known" in heard[0]
    assert heard[0].startswith("ERROR:")


async def test_nobody_is_asked_to_approve_a_call_that_is_not_made_again(durable: JournaledRuntime) -> None:
    ledger, asked = Ledger("irreversible"), []

    async def approve(call: ToolCall, reason: str | None = None, *rest: Any) -> bool:
        asked.append(call.tool)
        return True

    ledger.tool = tool(ledger.pay, name="pay", effect="irreversible", approval=True)
    clerk = agent(durable, calling("pay", amount=5), "Done.", tools=[ledger.tool], approval_handler=approve)
    with ledger.run:
        await clerk.run("pay", session_id="s")
    await clerk.resume("s", "pay")

    assert asked == ["pay"]


class Slow(InMemoryMemory):
    """A memory that takes its time to recall."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may_answer = anyio.Event(), anyio.Event()

    async def recall(self, query: str, **options: Any) -> Any:
        self.asked.set()
        await self.may_answer.wait()
        return await super().recall(query, **options)


async def test_a_run_is_on_record_before_its_first_step_has_ended(durable: JournaledRuntime) -> None:
    memory = Slow()
    clerk = agent(durable, "Done.", memory=memory)
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: clerk.run("pay", session_id="s"))
        await memory.asked.wait()
        with anyio.fail_after(30):
            while not (known := await durable.unfinished()):
                await anyio.sleep(0.01)
        memory.may_answer.set()

    assert [(run.session_id, run.input) for run in known] == [("s", "pay")]
    assert await durable.unfinished() == []


async def test_a_run_that_is_left_before_it_has_done_anything_can_be_taken_up(durable: JournaledRuntime) -> None:
    context = RunContext("ann", "s", "run_new")
    with pytest.raises(ZeroDivisionError):
        async with durable.run(context, "pay", is_new=True):
            raise ZeroDivisionError

    assert [run.id for run in await durable.unfinished(user_id="ann")] == ["run_new"]
    async with durable.run(context, "pay") as session:
        await session.step("pay", Counted(), 1)
    assert await durable.unfinished() == []


async def test_a_new_run_under_an_id_that_is_taken_is_refused_and_changes_nothing(durable: JournaledRuntime) -> None:
    step = Counted()

    async def pay(user: str) -> None:
        async with durable.run(RunContext(user, "s", "run_1"), "pay", is_new=True) as session:
            await session.step("pay", step, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await pay("ann")
    with pytest.raises(Conflict):
        await pay("ben")

    assert len(step.calls) == 1

    assert [run.user_id for run in await durable.unfinished()] == ["ann"]
    assert len(await durable.store.read("run_1")) == 2


# names, files and servers


@pytest.mark.parametrize("spec", ["sqlite", {"backend": "sqlite"}])
async def test_the_shorthand_sqlite_works_at_first_use(
    spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C19: `runtime="sqlite"` crashed with `no such table`."""
    monkeypatch.chdir(tmp_path)
    clerk = Agent("x", model=EchoModel(), runtime=spec)

    assert "hi" in (await clerk.run("hi")).output
    assert isinstance(clerk.runtime, SqliteRuntime)
    assert clerk.runtime.path.resolve().is_relative_to(tmp_path)
    await clerk.runtime.aclose()


async def test_a_sqlite_path_is_made_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "runs.db"
    for spec in (f"sqlite:{path}", {"backend": "sqlite", "path": str(path)}):
        clerk = Agent("x", model=EchoModel(), runtime=spec)  # type: ignore[arg-type]
        await clerk.run("hi")
        assert path.exists()
        assert isinstance(clerk.runtime, SqliteRuntime)
        await clerk.runtime.aclose()


async def test_making_a_sqlite_runtime_touches_no_file(tmp_path: Path) -> None:
    SqliteRuntime(tmp_path / "a.db")

    assert list(tmp_path.iterdir()) == []


async def test_a_sqlite_file_in_memory_lives_as_long_as_the_runtime() -> None:
    runtime, step = SqliteRuntime(":memory:"), Counted()
    for _ in range(2):
        async with runtime.session("s"):
            await runtime.step("pay", step, 1)

    assert step.calls == [1]
    await runtime.aclose()


@pytest.mark.parametrize("spec", ["postgres://u@h/d", "postgresql://u@h/d", {"backend": "postgres", "url": "x"}])
def test_a_postgres_url_says_how_to_connect(spec: Any) -> None:
    with pytest.raises(ConfigError, match=r"await PostgresRuntime\.connect"):
        resolve_runtime(spec)


async def test_a_new_database_needs_init_schema_which_may_be_called_twice() -> None:
    """C19: a fresh database failed with what the driver said."""
    runtime = await PostgresRuntime.connect(new_schema())
    with pytest.raises(ConfigError, match="init_schema"):
        async with runtime.session("s"):
            pass
    await together([runtime.init_schema, runtime.init_schema])
    async with runtime.session("s"):
        assert (await runtime.step("one", Counted(), 1))["call"] == 1
    await runtime.aclose()

    assert len(PostgresJournalStore.schema_sql()) == 6


async def test_a_server_that_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.core.runtime.postgres._PATIENCE_SECONDS", 0.5)
    with pytest.raises(Unavailable, match="does not answer"):
        await PostgresRuntime.connect("postgresql://nobody@127.0.0.1:1/none")


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("this is a letter, and not a short one at that" * 100)
    with pytest.raises(Unavailable, match=r"a\.db"):
        async with SqliteRuntime(tmp_path / "a.db").session("s"):
            pass


async def test_tools_that_block_every_thread_do_not_hold_up_the_journal(tmp_path: Path) -> None:
    runtime, release = SqliteRuntime(tmp_path / "a.db"), threading.Event()
    threads = int(anyio.to_thread.current_default_thread_limiter().total_tokens)

    async with anyio.create_task_group() as group:
        for _ in range(threads):
            group.start_soon(anyio.to_thread.run_sync, release.wait)
        with anyio.fail_after(30):
            async with runtime.session("s"):
                await runtime.step("pay", Counted(), 1)
        release.set()
    await runtime.aclose()


@pytest.mark.parametrize(
    ("effect", "expected"), [("keyed", ["on disk", "called", "committed"]), ("read", ["called", "committed"])]
)
async def test_a_run_waits_for_the_disk_before_a_call_that_changes_something_and_at_no_other_time(
    effect: Any, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    class Watched(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql == "COMMIT":
                [is_synced] = super().execute("PRAGMA synchronous").fetchone()
                events.append({1: "committed", 2: "on disk"}[is_synced])
            return super().execute(sql, *values)

    async def call(amount: int) -> str:
        events.append("called")
        return "called"

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Watched))
    runtime = SqliteRuntime(tmp_path / "a.db")
    tools, budget = [tool(call, effect=effect)], StandardBudget(BudgetConfig(max_tokens=10**6))
    await agent(runtime, calling("call", amount=5), "Done.", tools=tools, budget=budget).run("call")
    await runtime.aclose()

    assert events == expected


async def test_the_end_of_a_run_reaches_the_disk_in_a_moment_though_nobody_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        "agents.core.runtime.sqlite.os.fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}"))
    )
    runtime = SqliteRuntime(tmp_path / "a.db")
    answering = Agent("x", model=EchoModel(), runtime=runtime)

    for _ in range(2):  # and again, once it is there
        synced.clear()
        await answering.run("hi")
        assert await runtime.unfinished() == []  # to read writes nothing, to the disk neither
        with anyio.fail_after(5):
            while not synced:
                await anyio.sleep(0.01)
        assert synced == [str(tmp_path / "a.db-wal")]
    await runtime.aclose()


async def test_a_disk_that_fails_later_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("agents.core.runtime.sqlite.os.fsync", fail)
    runtime = SqliteRuntime(tmp_path / "a.db")
    await Agent("x", model=EchoModel(), runtime=runtime).run("hi")

    with anyio.fail_after(5):
        while "Input/output error" not in caplog.text:
            await anyio.sleep(0.01)
    await runtime.aclose()


@pytest.mark.parametrize(("company", "expected"), [(False, {"MainThread"}), (True, {"loom-journal"})])
def test_only_a_program_that_has_nothing_else_to_do_commits_on_its_event_loop(
    company: bool, expected: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = set[str]()

    class Watched(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql == "COMMIT":
                where.add(threading.current_thread().name)
            return super().execute(sql, *values)

    async def program() -> None:
        async with anyio.create_task_group() as group:
            if company:
                group.start_soon(anyio.sleep_forever)
            runtime = SqliteRuntime(tmp_path / "a.db")
            await Agent("x", model=EchoModel(), runtime=runtime).run("hi")
            await runtime.aclose()
            group.cancel_scope.cancel()

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Watched))
    anyio.run(program)

    assert where == expected


async def test_a_commit_that_fails_leaves_nothing_open_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [sqlite3.OperationalError("disk I/O error")]

    class Failing(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql == "COMMIT" and failures:
                raise failures.pop()
            return super().execute(sql, *values)

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Failing))
    store = SqliteJournalStore(tmp_path / "a.db")

    with pytest.raises(Unavailable, match="disk I/O error"):
        await store.open(JournaledRun("r", "ann", "s"))
    assert await store.open(JournaledRun("r", "ann", "s")) == 1
    await store.aclose()


async def test_who_interrupts_a_commit_is_heard_and_the_run_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    store = SqliteJournalStore(tmp_path / "a.db")
    writer: Writer[str] = Writer(lambda take, done: store.submit([], take(), done), linger=3600)
    journal = writer.journal_of("r", 1)
    journal.post(Record(kind="architecture.told"))
    monkeypatch.setattr(store, "_is_alone", lambda: True)
    monkeypatch.setattr(store, "_connected", interrupted)

    with pytest.raises(KeyboardInterrupt):
        await journal.flush()
    with pytest.raises(Unavailable, match="KeyboardInterrupt"):
        await journal.flush()


async def test_a_record_that_cannot_be_written_is_its_runs_trouble_and_nobody_elses(tmp_path: Path) -> None:
    store = SqliteJournalStore(tmp_path / "a.db")
    for name in ("bad", "good"):
        await store.open(JournaledRun(name, "ann", name))
    writer: Writer[str] = Writer(lambda take, done: store.submit([], take(), done), linger=3600)
    bad, good = writer.journal_of("bad", 1), writer.journal_of("good", 1)
    bad.post(Record(kind="architecture.told", data={"value": object()}))
    good.post(Record(kind="architecture.told", data={"value": 1}))

    with pytest.raises(Invalid, match="no JSON form"):
        await bad.flush()
    await good.flush()
    assert [row.record.data for row in await store.read("good")] == [{"value": 1}]
    await store.aclose()


_FORKING = """
import os, sys, anyio
from agents.core.agent import Agent
from agents.core.llm.echo import EchoModel
from agents.core.runtime.sqlite import SqliteRuntime

echo = Agent("x", model=EchoModel(), runtime=SqliteRuntime(sys.argv[1]))
anyio.run(echo.run, "before")
if (child := os.fork()) == 0:
    anyio.run(echo.run, "in the child")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
anyio.run(echo.run, "after")
"""


def test_a_forked_child_has_a_connection_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    subprocess.run([sys.executable, "-c", _FORKING, str(path)], cwd=ROOT, check=True, timeout=60)

    with sqlite3.connect(path) as connection:
        runs = connection.execute("SELECT input, ended FROM loom_run ORDER BY place").fetchall()
    connection.close()
    assert runs == [('"before"', 1), ('"in the child"', 1), ('"after"', 1)]


async def test_journal_rows_are_json_with_a_version(tmp_path: Path) -> None:
    runtime = SqliteRuntime(tmp_path / "a.db")
    async with runtime.session("s"):
        await runtime.step("pay", Counted(), 5)
    await runtime.aclose()

    rows = sqlite3.connect(tmp_path / "a.db").execute("SELECT data, version FROM loom_journal").fetchall()

    assert [version for _, version in rows] == [1, 1]
    assert json.loads(rows[1][0]) == {"value": {"value": 5, "call": 1}}


class Bomb:
    def __reduce__(self) -> Any:
        return os.mkdir, (os.environ["BOMB"],)


async def test_code_in_a_journal_row_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A14: journal values were pickles, so whoever could write the database ran code."""
    monkeypatch.setenv("BOMB", str(tmp_path / "exploded"))
    runtime = SqliteRuntime(tmp_path / "a.db")
    await runtime.store.put_step("s", "pay", 1)
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("UPDATE loom_journal SET data = ?", (pickle.dumps({"value": Bomb()}),))
    connection.close()

    with pytest.raises(RuntimeJournalError):
        async with runtime.session("s"):
            await runtime.step("pay", Counted(), 5)
    assert not (tmp_path / "exploded").exists()
    await runtime.aclose()


async def test_a_row_of_a_later_version_is_refused(tmp_path: Path) -> None:
    runtime = SqliteRuntime(tmp_path / "a.db")
    await runtime.store.put_step("s", "pay", 1)
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("UPDATE loom_journal SET version = 99")
    connection.close()

    with pytest.raises(RuntimeJournalError, match="update loom"):
        async with runtime.session("s"):
            pass
    await runtime.aclose()


async def test_the_keys_of_an_in_memory_store_can_be_listed() -> None:
    store = InMemoryJournalStore()
    runtime = JournaledRuntime(store)
    async with runtime.session("s"):
        await runtime.step("one", Counted(), 1)
        _ = [letter async for letter in runtime.stream_step("say", letters, 2)]
    await Agent("x", model=EchoModel(), runtime=runtime).run("hi", session_id="t")

    assert store.stream_keys() == [("s", "say")]
    assert store.step_keys()[0] == ("s", "one")
    assert ("t", "turn:1/model") in store.step_keys()


def test_one_sqlite_runtime_serves_event_loops_one_after_the_other_and_at_once(tmp_path: Path) -> None:
    runtime, step = SqliteRuntime(tmp_path / "a.db"), Counted()

    async def work(number: int) -> None:
        async with runtime.session(f"s{number}"):
            for place in range(5):
                await runtime.step(f"part:{place}", step, place)

    for _ in range(2):
        anyio.run(work, 0)
    _in_threads([lambda n=n: anyio.run(work, n) for n in range(1, 5)])  # type: ignore[misc]

    assert len(step.calls) == 25
    anyio.run(runtime.aclose)


def _in_threads(work: list[Callable[[], Any]]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(work)) as pool:
        for done in [pool.submit(one) for one in work]:
            done.result()


class Full(InMemoryJournalStore):
    """A store whose disk is full after some writes."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    async def append(self, appends: Any) -> Any:
        self.room -= 1
        if self.room < 0:
            raise OSError("no space left on device")
        return await super().append(appends)


async def test_a_store_that_cannot_write_stops_the_run_before_the_effect() -> None:
    step = Counted()
    with pytest.raises(Unavailable, match="no space left"):
        async with JournaledRuntime(Full(room=0)).session("s") as session:
            await session.step("pay", step, 1)

    assert step.calls == []


async def test_an_agent_over_a_store_that_cannot_write_raises_a_named_error() -> None:
    for room in range(3):
        with pytest.raises(LoomError, match="no space left"):
            await agent(
                JournaledRuntime(Full(room)),
                calling("pay", amount=1),
                calling("pay", amount=2),
                "Done.",
                tools=[tool(_pay, name="pay")],
            ).run("x")


def test_the_driver_of_postgres_is_imported_when_it_is_used() -> None:
    assert psycopg.__name__ not in PostgresRuntime.__module__
    assert SqliteJournalStore("x").path == Path("x")
