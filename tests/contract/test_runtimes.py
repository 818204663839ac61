"""What every runtime promises: the one that remembers nothing, and those that remember."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio import wait_all_tasks_blocked

from agents.core.agent import Agent
from agents.core.concurrency import together
from agents.core.llm.echo import EchoModel
from agents.core.runtime.base import InProcRuntime, Runtime
from agents.core.runtime.journaled import JournaledRuntime, JournaledSession
from agents.core.runtime.resolver import resolve_runtime
from agents.core.runtime.store import JournaledRun, JournalStore
from agents.core.runtime.writer import Append
from loom.context import RunContext
from loom.errors import (
    Conflict,
    NonDeterminism,
    NotFound,
    Unavailable,
)
from loom.events import Kind, Record
from tests.contract.durable import KINDS, Counted, agent, down, letters, new_place, opened


@pytest.fixture(params=["inproc", *KINDS])
async def runtime(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    if request.param == "inproc":
        yield InProcRuntime()
        return
    async with opened(request.param, new_place(request.param, tmp_path)) as made:
        yield made


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

        with anyio.fail_after(10):
            heard = [await session.signals.wait("approved"), await session.signals.wait("approved")]
        assert heard == [{"by": "ann"}, {"by": "ben"}]
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
            with anyio.fail_after(10):
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
