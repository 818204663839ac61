"""What every strategy promises, asked of all twelve, alone and inside one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from agents.core.agent import Agent
from agents.core.architectures.base import Architecture
from agents.core.architectures.supervisor import Supervisor
from agents.core.concurrency import together
from agents.core.llm.base import Completion
from agents.core.tools.tool import tool
from audit.core.log import InMemoryAuditLog
from governance.core.budget import BudgetConfig
from governance.core.hooks import HookRegistry
from governance.core.permissions import StandardPermissions
from governance.core.standard_budget import StandardBudget
from loom.errors import TransientModelError
from loom.events import Event, EventKind
from loom.messages import Message, ToolCall, Usage
from tests.contract.strategies import ALL, INSTRUCTIONS, TEAMS, TOOLLESS, WRAPPING, Oracle, Tape, build, over, stamp


@pytest.fixture(params=list(ALL))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_there_are_twelve() -> None:
    assert len(ALL) == 12
    for key, make in ALL.items():
        architecture = make(lambda: Agent("", model=Oracle()))
        assert isinstance(architecture, Architecture)
        assert architecture.name == key
        assert (key in TEAMS) == bool(architecture.declared_workers())


async def test_instructions_reach_the_model(name: str) -> None:
    oracle = Oracle()

    result = await build(name, oracle).run("What is it?", user_id="ann")

    assert INSTRUCTIONS in oracle.asked[0][1]
    assert "What is it?" in oracle.asked[0][1]
    assert result.output
    assert not result.interrupted


async def test_the_session_goes_on(name: str) -> None:
    oracle = Oracle()
    team = build(name, oracle)

    await team.run("My cat is Tom.", user_id="ann", session_id="s")
    oracle.asked.clear()
    await team.run("Who is he?", user_id="ann", session_id="s")

    assert "My cat is Tom." in oracle.asked[0][1]


async def test_a_session_is_its_users(name: str) -> None:
    oracle = Oracle()
    team = build(name, oracle)

    await team.run("My cat is Tom.", user_id="ann", session_id="s")
    oracle.asked.clear()
    await team.run("Who is he?", user_id="cem", session_id="s")

    assert not [text for _, text in oracle.asked if "Tom" in text]


@pytest.mark.parametrize("name", [name for name in ALL if name not in TOOLLESS])
async def test_tools_are_gated(name: str) -> None:
    events: list[Event] = []

    async def hear(event: Event) -> None:
        events.append(event)

    rules = StandardPermissions(denied_tools=["stamp"])
    oracle = Oracle()
    worker = partial(Agent, "You work.", model=oracle, tools=[stamp])
    await build(name, oracle, worker=worker, tools=[stamp], permissions=rules).run("Go.", emit=hear)

    results = [e.payload["result"] for e in events if e.kind is EventKind.TOOL_RESULT]
    stamped = [r for r in results if r.call_id == "call_stamp" or "stamp" in (r.reason or "")]
    assert stamped
    assert all(r.denied for r in stamped)


async def test_the_budget_is_charged_to_the_user(name: str) -> None:
    oracle, budget = Oracle(), StandardBudget(BudgetConfig(per_user_max_tokens=10_000_000))

    result = await build(name, oracle, budget=budget).run("Go.", user_id="ann")

    assert budget.usage_for("ann")["tokens_total"] == 2 * len(oracle.asked) == result.total_tokens
    assert budget.usage_for(None)["tokens_total"] == 0


async def test_a_spent_budget_stops_the_run_before_the_next_call(name: str) -> None:
    oracle, budget = Oracle(), StandardBudget(BudgetConfig(per_user_max_tokens=1))
    await budget.consume(tokens_in=1, tokens_out=0, cost_usd=0, user_id="ann")

    result = await build(name, oracle, budget=budget).run("Go.", user_id="ann")

    assert oracle.asked == []
    assert result.interrupted
    assert str(result.interruption_reason).endswith("budget:per_user_max_tokens")


async def test_a_failing_model_surfaces_as_itself(name: str) -> None:
    with pytest.raises(TransientModelError, match="the oracle is silent"):
        await build(name, Oracle(failing=True)).run("Go.")


@pytest.mark.parametrize(
    ("name", "who"),
    {
        "router": "worker:w#1",
        "supervisor": "worker:w#1.1",
        "actor-critic": "worker:actor#1",
        "debate": "worker:debater_1#1",
        "swarm": "worker:w#1",
        "blackboard": "worker:coordinator#1",
    }.items(),
)
async def test_a_failing_worker_surfaces_as_itself_and_by_name(name: str, who: str) -> None:
    broken = Oracle(failing=True)

    with pytest.raises(TransientModelError, match="the oracle is silent") as caught:
        await build(name, Oracle(), worker=partial(Agent, "You work.", model=broken)).run("Go.")

    assert caught.value.facts["worker"] == who


async def test_a_cancelled_run_stops_at_once_and_leaves_no_task(name: str) -> None:
    import asyncio

    begun, ended = anyio.Event(), []

    class Endless(Oracle):
        async def complete(self, messages: Sequence[Message], **options: Any) -> Completion:
            self.asked.append((None, ""))
            begun.set()
            try:
                await anyio.sleep_forever()
            finally:
                ended.append(True)
            raise AssertionError("it sleeps for ever")

    oracle, before = Endless(), asyncio.all_tasks()
    async with anyio.create_task_group() as group:
        group.start_soon(build(name, oracle).run, "Go.")
        with anyio.fail_after(5):
            await begun.wait()
        await anyio.wait_all_tasks_blocked()
        asked = len(oracle.asked)
        group.cancel_scope.cancel()

    assert len(oracle.asked) == len(ended) == asked
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("name", [name for name in ALL if name not in TOOLLESS])
async def test_a_run_that_is_cancelled_in_a_tool_ends_the_tool_and_asks_no_more(name: str) -> None:
    import asyncio

    begun, ended = anyio.Event(), []

    @tool(name="stamp")
    async def endless(text: str) -> str:
        """Stamp a text."""
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(text)
        raise AssertionError("it sleeps for ever")

    oracle, before = Oracle(), asyncio.all_tasks()
    worker = partial(Agent, "You work.", model=oracle, tools=[endless])
    async with anyio.create_task_group() as group:
        group.start_soon(build(name, oracle, worker=worker, tools=[endless]).run, "Go.")
        with anyio.fail_after(5):
            await begun.wait()
        await anyio.wait_all_tasks_blocked()
        asked = len(oracle.asked)
        group.cancel_scope.cancel()

    assert ended
    assert len(oracle.asked) == asked
    assert asyncio.all_tasks() == before


async def test_an_answer_can_be_typed_and_one_that_does_not_fit_is_sent_back(name: str) -> None:
    class Named(BaseModel):
        name: str

    class Literate(Oracle):
        async def complete(self, messages: Sequence[Message], **options: Any) -> Completion:
            if "failed schema validation" in messages[-1].content:
                self.asked.append((None, ""))
                return '{"name": "Tom"}', [], Usage(input_tokens=1, output_tokens=1), "stop"
            return await super().complete(messages, **options)

    oracle, budget = Literate(), StandardBudget(BudgetConfig(per_user_max_tokens=10_000_000))

    result = await build(name, oracle, budget=budget).run("Who?", user_id="ann", output_schema=Named)

    assert result.parsed == Named(name="Tom")
    assert "name" in oracle.asked[0][1]
    assert budget.usage_for("ann")["tokens_total"] == 2 * len(oracle.asked) == result.total_tokens


@pytest.mark.parametrize("name", [name for name in ALL if name not in TOOLLESS])
async def test_hooks_and_the_audit_log_of_a_team_see_what_its_workers_do(name: str) -> None:
    hooks, log, seen = HookRegistry(), InMemoryAuditLog(), []

    @hooks.register_pre_tool
    async def see(call: ToolCall) -> None:
        seen.append(call.tool)

    oracle = Oracle()
    worker = partial(Agent, "You work.", model=oracle, tools=[stamp])
    await build(name, oracle, worker=worker, tools=[stamp], hooks=hooks, audit_log=log).run("Go.", user_id="ann")

    entries = await log.query(user_id="ann")
    audited = [entry.payload["tool"] for entry in entries if entry.action == "tool_call"]
    assert "stamp" in seen
    assert sorted(audited) == sorted(seen)
    assert len(entries) == len(await log.all_entries())


async def test_a_deadline_is_kept(name: str) -> None:
    class Endless(Oracle):
        async def complete(self, messages: Sequence[Message], **options: Any) -> Completion:
            await anyio.sleep_forever()
            raise AssertionError("it sleeps for ever")

    with anyio.move_on_after(0.05) as scope:
        await build(name, Endless()).run("Go.")

    assert scope.cancelled_caught


async def test_events_are_well_formed(name: str) -> None:
    events = [event async for event in build(name, Oracle()).stream("Go.", user_id="ann")]

    kinds = [event.kind for event in events]
    assert (kinds[0], kinds[-1]) == (EventKind.STARTED, EventKind.COMPLETED)
    assert kinds.count(EventKind.STARTED) == kinds.count(EventKind.COMPLETED) == 1
    told = [event for event in events if event.kind is EventKind.ARCHITECTURE_EVENT]
    assert all(event.payload["name"] for event in told)
    assert bool(told) == (name != "react")
    chunks = [event for event in events if event.kind is EventKind.MODEL_CHUNK]
    assert all(event.payload["step_key"].startswith(event.worker) for event in chunks)
    assert all(event.payload["step_key"].endswith("/model") for event in chunks)
    assert any("worker:" in event.worker for event in chunks) == (name in TEAMS)
    for event in events:
        event.model_dump_json(fallback=str)


async def check_replay(make: Callable[[Oracle], Agent]) -> None:
    tape, oracle, deaf = Tape(), Oracle(), Oracle(failing=True)
    first = await over(tape, make(oracle))
    written = len(tape.records)

    second = await over(tape, make(deaf))

    assert second == first
    assert deaf.asked == []
    assert len(tape.records) == written
    keys = [r.step_key for r in tape.records if "value" in r.data]
    assert len(keys) == len(set(keys))


async def test_a_replay_asks_nobody_and_writes_nothing(name: str) -> None:
    def make(oracle: Oracle) -> Agent:
        worker = partial(Agent, "You work.", model=oracle, tools=[stamp])
        return build(name, oracle, worker=worker, tools=[stamp])

    await check_replay(make)


async def test_a_run_cut_off_at_any_call_goes_on_from_there(name: str) -> None:
    whole = Oracle()
    expected = await over(Tape(), build(name, whole))

    for fatal in range(1, len(whole.asked) + 1):
        tape, oracle = Tape(), Oracle()

        class Dying(Oracle):
            async def complete(self, messages: Sequence[Message], **options: Any) -> Completion:
                if len(self.asked) + 1 == fatal:  # noqa: B023
                    raise TransientModelError("cut off")
                return await super().complete(messages, **options)

        with pytest.raises(TransientModelError):
            await over(tape, build(name, Dying()))
        assert await over(tape, build(name, oracle)) == expected
        assert len(oracle.asked) <= len(whole.asked) - fatal + 4  # those beside the fatal one may be asked again


@settings(max_examples=15, deadline=None)
@given(dealt=st.lists(st.integers(0, 3), max_size=30))
@pytest.mark.parametrize("name", list(ALL))
def test_two_users_at_once_never_mix(name: str, dealt: list[int]) -> None:
    async def scene() -> None:
        left = list(dealt)
        oracle = Oracle(pause=lambda: left.pop() if left else 0)
        team = build(name, oracle)

        async def converse(user_id: str) -> None:
            for turn in range(2):
                await team.run(f"the secret of {user_id} is {turn}", user_id=user_id, session_id="s")

        await together([partial(converse, user_id) for user_id in ("ann", "cem")])
        for user_id, text in oracle.asked:
            other = {"ann": "cem", "cem": "ann"}[user_id or ""]
            assert f"of {other}" not in text
            assert f"for {other}" not in text

    anyio.run(scene)


@pytest.mark.parametrize("inner", list(ALL))
@pytest.mark.parametrize("outer", list(TEAMS))
async def test_every_strategy_works_for_every_team(outer: str, inner: str) -> None:
    def make(oracle: Oracle) -> Agent:
        return build(outer, oracle, worker=lambda: build(inner, oracle, tools=[stamp]))

    oracle, budget = Oracle(), StandardBudget(BudgetConfig(per_user_max_tokens=10_000_000))
    team = make(oracle)
    team._budget = budget
    result = await team.run("Go.", user_id="ann")

    assert result.output
    assert not result.interrupted
    assert budget.usage_for("ann")["tokens_total"] == 2 * len(oracle.asked) == result.total_tokens
    await check_replay(make)


@pytest.mark.parametrize("inner", list(ALL))
@pytest.mark.parametrize("outer", list(WRAPPING))
async def test_every_strategy_can_be_the_base_of_another(outer: str, inner: str) -> None:
    def make(oracle: Oracle) -> Agent:
        base = ALL[inner](lambda: Agent("You work.", model=oracle))
        return Agent(INSTRUCTIONS, model=oracle, architecture=WRAPPING[outer](base), tools=[stamp])

    result = await make(Oracle()).run("Go.", user_id="ann")

    assert result.output
    assert not result.interrupted
    await check_replay(make)


@pytest.mark.parametrize("inner", list(ALL))
async def test_every_strategy_can_be_what_a_supervisor_thinks_with(inner: str) -> None:
    def make(oracle: Oracle) -> Agent:
        base = ALL[inner](lambda: Agent("You work.", model=oracle))
        return Agent(
            INSTRUCTIONS,
            model=oracle,
            architecture=Supervisor(workers={"w": Agent("You work.", model=oracle)}, base=base),
            tools=[stamp],
        )

    assert (await make(Oracle()).run("Go.", user_id="ann")).output
    await check_replay(make)


async def test_teams_nest_as_deep_as_one_likes() -> None:
    oracle = Oracle()

    def nested(depth: int) -> Agent:
        return build("supervisor", oracle, worker=partial(nested, depth - 1) if depth else None)

    events = [event async for event in nested(4).stream("Go.")]

    assert max(event.worker.count("worker:") for event in events) == 5
