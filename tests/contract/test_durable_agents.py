"""Runs of agents over journals: cut off, resumed, and never answered with what another has said."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.to_thread
import pytest

from agents.core.agent import Agent
from agents.core.concurrency import together
from agents.core.llm.echo import EchoModel
from agents.core.llm.scripted import ScriptedTurn
from agents.core.runtime.journaled import JournaledRuntime
from agents.core.tools.tool import tool
from agents.core.workflow.graph import Workflow
from loom.context import RunContext, get_run_context
from loom.errors import (
    Conflict,
    Unavailable,
)
from loom.messages import ToolCall
from memory.core.backends.in_memory import InMemoryMemory
from tests.contract.durable import Counted, agent, calling, down


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
