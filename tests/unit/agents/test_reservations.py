"""What a run reserves of its budget before each model call."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from agents.core.agent import Agent
from agents.core.concurrency import together
from agents.core.llm.echo import EchoModel
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.loop import models
from agents.core.tools.tool import tool
from governance.core import standard_budget
from governance.core.budget import BudgetConfig, BudgetStatus, Estimate, NoBudget, Reservation
from governance.core.standard_budget import StandardBudget
from loom.errors import ContentFilterError, PermanentModelError
from loom.events import Event, EventKind
from loom.messages import Message, ModelChunk, ToolCall, Usage


class Slow:
    """Writes five tokens at most, takes as long as others need to start, and knows how many were at it at once."""

    name = "slow"
    max_output_tokens = 5

    def __init__(self, name: str = "slow") -> None:
        self.name, self.at_work, self.most_at_once, self.calls = name, 0, 0, 0
        self.limits: list[int | None] = []

    def count_input(self, messages: list[Message]) -> int:
        return 5

    async def complete(
        self, messages: list[Message], *, max_tokens: int | None = None, **options: Any
    ) -> tuple[str, list[ToolCall], Usage, str]:
        self.calls, self.at_work = self.calls + 1, self.at_work + 1
        self.most_at_once = max(self.most_at_once, self.at_work)
        self.limits.append(max_tokens)
        await anyio.sleep(0.1)
        self.at_work -= 1
        return "answer", [], Usage(input_tokens=5, output_tokens=min(5, max_tokens or 5), cost_usd=0.0), "stop"

    async def stream(self, messages: list[Message], **options: Any) -> Any:
        raise AssertionError("this model is not streamed")
        yield


class Priced(Slow):
    price = EchoModel(cost_per_token=0.001).price


async def test_twenty_runs_at_once_spend_no_more_than_the_cap_and_do_not_take_turns() -> None:
    model, budget = Slow(), StandardBudget(BudgetConfig(max_tokens=100))
    agent = Agent("", model=model, budget=budget)

    results = await together([lambda: agent.run("go")] * 20)

    spent = sum(result.total_tokens for result in results)
    assert spent == budget.usage_for(None)["tokens_total"] == 100
    assert sum(not result.interrupted for result in results) == 10
    assert model.most_at_once == 10


async def test_a_call_of_unknown_length_is_still_held_within_the_cap() -> None:
    class Endless(Slow):
        max_output_tokens = None  # type: ignore[assignment]

    model, budget = Endless(), StandardBudget(BudgetConfig(max_tokens=100))
    await together([lambda: Agent("", model=model, budget=budget).run("go")] * 20)

    assert budget.usage_for(None)["tokens_total"] <= 100
    assert model.most_at_once == 1
    assert model.limits[0] == 95


async def test_a_cost_limit_blocks_a_model_whose_price_nobody_knows() -> None:
    model = Slow(name="nobody-knows-me")
    result = await Agent("", model=model, budget=StandardBudget(BudgetConfig(max_cost_usd=10))).run("go")

    assert model.calls == 0
    assert result.interruption_reason == "budget:max_cost_usd: the model has no known price"


async def test_a_token_limit_does_not_ask_for_a_price() -> None:
    model = Slow(name="nobody-knows-me")
    result = await Agent("", model=model, budget=StandardBudget(BudgetConfig(max_tokens=1000))).run("go")

    assert (result.output, model.calls) == ("answer", 1)


async def test_a_cost_limit_holds_for_calls_at_the_same_time() -> None:
    model, budget = Priced(), StandardBudget(BudgetConfig(max_cost_usd=0.035))
    await together([lambda: Agent("", model=model, budget=budget).run("go")] * 20)

    assert 1 < model.most_at_once <= 3


async def test_models_that_need_no_provider_run_under_a_cost_limit() -> None:
    budget = StandardBudget(BudgetConfig(max_cost_usd=1))
    scripted = ScriptedModel([ScriptedTurn("hello", usage=Usage(input_tokens=1, output_tokens=1, cost_usd=0.1))])

    assert (await Agent("", model=EchoModel(), budget=budget).run("hi")).output == "Echo: hi"
    assert (await Agent("", model=scripted, budget=budget).run("hi")).output == "hello"
    assert budget.usage_for(None)["cost_usd"] == pytest.approx(0.1)


async def test_a_prompt_that_may_be_written_to_the_cache_is_reserved_at_that_price() -> None:
    costs: list[float] = []

    class Watching(NoBudget):
        async def reserve(self, estimate: Estimate | None, *, user_id: str | None = None) -> Reservation:
            assert estimate is not None
            costs.append(estimate.input_cost_usd)
            return await super().reserve(estimate, user_id=user_id)

    for caching in (False, True):
        model = Slow(name="claude-sonnet-4-5")
        await Agent("", model=model, budget=Watching(), prompt_caching=caching).run("go")

    assert costs[1] == pytest.approx(1.25 * costs[0])


class Failing(StandardBudget):
    """Cannot be told of what was used, so many times."""

    def __init__(self, times: int, *, most: int = 1000) -> None:
        super().__init__(BudgetConfig(max_tokens=most))
        self.left = times

    async def settle(self, reservation: Reservation, actual: Usage | None) -> None:
        self.left -= 1
        if self.left >= 0:
            raise OSError("the budget's database is away")
        await super().settle(reservation, actual)


async def test_an_answer_whose_cost_is_not_booked_at_once_is_booked_and_not_lost() -> None:
    model, budget = Slow(), Failing(1, most=16)  # a second call waits until the first is settled
    agent = Agent("", model=model, budget=budget)

    with anyio.fail_after(5):
        first, second = await agent.run("go"), await agent.run("go")

    assert (first.output, second.output, model.calls) == ("answer", "answer", 2)
    assert budget.usage_for(None)["tokens_total"] == 16


async def test_an_answer_whose_cost_cannot_be_booked_is_not_lost_and_its_reservation_held(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_PAUSES_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(standard_budget, "PATIENCE_SECONDS", 0.01)
    agent = Agent("", model=Slow(), budget=Failing(2, most=15))

    first, second = await agent.run("go"), await agent.run("go")

    assert (first.output, first.interrupted) == ("answer", False)
    assert second.interruption_reason == "budget:calls in flight held the rest for 0 s"
    assert "a reservation that its budget still holds" in caplog.text
    assert "the budget's database is away" in caplog.text


class Talking(Slow):
    """Says a word after the other, and breaks after so many where it is told to."""

    def __init__(self, *, breaks_after: int = 1000) -> None:
        super().__init__()
        self.breaks_after = breaks_after

    async def stream(self, messages: list[Message], **options: Any) -> Any:
        self.calls += 1
        for number in range(1000):
            if number == self.breaks_after:
                raise PermanentModelError("broken")
            yield ModelChunk(kind="text", text="word ")
        yield ModelChunk(kind="finish", usage=Usage(input_tokens=5, output_tokens=1000))


async def left_after(agent: Agent, words: int) -> None:
    heard = 0
    async for event in agent.stream("go", user_id="ann"):
        heard += event.kind is EventKind.MODEL_CHUNK
        if heard == words:
            break


async def test_who_leaves_every_stream_before_its_end_reaches_the_limit_all_the_same() -> None:
    model, budget = Talking(), StandardBudget(BudgetConfig(per_user_max_tokens=100))
    model.max_output_tokens = 90
    agent = Agent("", model=model, budget=budget)

    for _ in range(20):
        await left_after(agent, 10)

    assert 1 < model.calls < 10
    assert budget.usage_for("ann")["tokens_total"] >= 100


async def test_a_stream_that_breaks_is_booked_as_far_as_it_came_and_one_that_never_began_is_not() -> None:
    async def spent(words: int) -> float:
        budget = StandardBudget(BudgetConfig(max_tokens=10_000))
        with pytest.raises(PermanentModelError):
            await Agent("", model=Talking(breaks_after=words), budget=budget).run("go", emit=ignore)
        return budget.usage_for(None)["tokens_total"]

    async def ignore(event: Event) -> None: ...

    assert await spent(0) == 0
    assert 5 < await spent(10) < await spent(100)


async def test_a_budget_that_cannot_be_told_twice_is_told_once() -> None:
    told: list[int] = []

    class Plain:
        async def allows_step(self, *, user_id: str | None = None) -> BudgetStatus:
            return BudgetStatus.ok_()

        async def consume(
            self, *, tokens_in: int, tokens_out: int, cost_usd: float, user_id: str | None = None
        ) -> None:
            told.append(tokens_in + tokens_out)
            raise TimeoutError

    assert (await Agent("", model=Slow(), budget=Plain()).run("go")).output == "answer"
    assert told == [10]


async def test_a_model_that_fails_is_heard_though_its_budget_fails_too(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Slow):
        async def complete(self, messages: list[Message], **options: Any) -> Any:
            raise RuntimeError("the model is broken")

    budget = Failing(1)
    with pytest.raises(RuntimeError, match="the model is broken"):
        await Agent("", model=Broken(), budget=budget).run("go")

    assert budget.left == -1
    assert budget.usage_for(None)["tokens_total"] == 0


async def test_a_stream_that_breaks_when_it_has_told_its_usage_is_booked_with_that() -> None:
    class Closing(Slow):
        async def stream(self, messages: list[Message], **options: Any) -> Any:
            yield ModelChunk(kind="text", text="word ")
            yield ModelChunk(kind="finish", usage=Usage(input_tokens=500, output_tokens=200))
            raise PermanentModelError("the connection did not close")

    async def ignore(event: Event) -> None: ...

    budget = StandardBudget(BudgetConfig(max_tokens=10_000))
    with pytest.raises(PermanentModelError):
        await Agent("", model=Closing(), budget=budget).run("go", emit=ignore)

    assert budget.usage_for(None)["tokens_total"] == 700


async def test_a_refused_answer_is_paid_for_and_booked() -> None:
    class Refusing(Slow):
        async def complete(self, messages: list[Message], **options: Any) -> Any:
            used = Usage(input_tokens=5, output_tokens=2).model_dump()
            raise ContentFilterError("refused to answer", usage=used)

    budget = StandardBudget(BudgetConfig(max_tokens=100))
    with pytest.raises(ContentFilterError):
        await Agent("", model=Refusing(), budget=budget).run("go", user_id="ann")

    assert budget.usage_for("ann")["tokens_total"] == 7


async def test_the_estimate_grows_with_the_conversation_and_counts_the_tools() -> None:
    estimates: list[Estimate] = []

    class Watching(NoBudget):
        async def reserve(self, estimate: Estimate | None, *, user_id: str | None = None) -> Reservation:
            assert estimate is not None
            estimates.append(estimate)
            return await super().reserve(estimate, user_id=user_id)

    @tool
    async def look(what: str) -> str:
        """Look at something for as long as it takes, and tell everything about it."""
        return "a long story " * 100

    class Looking(Slow):
        count_input = None  # type: ignore[assignment]

        async def complete(self, messages: list[Message], **options: Any) -> Any:
            calls = [ToolCall(tool="look", args={"what": "it"})] if len(messages) < 4 else []
            return "", calls, Usage(), "stop"

    await Agent("Be brief.", model=Looking(), budget=Watching()).run("go")
    without_tools = estimates[0].input_tokens
    estimates.clear()
    await Agent("Be brief.", model=Looking(), budget=Watching(), tools=[look]).run("go")

    assert estimates[0].input_tokens > without_tools + 20
    assert estimates[1].input_tokens > estimates[0].input_tokens + 300
    assert {estimate.max_output_tokens for estimate in estimates} == {5}
