"""Limits, reservations, and what is forgotten when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import anyio
import pytest

from governance.core.budget import BudgetConfig, BudgetStatus, Estimate, NoBudget, Reservation, reserving
from governance.core.standard_budget import StandardBudget
from loom.errors import ConfigError
from loom.messages import Usage


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def run_of(budget: StandardBudget, used: Usage, *, user_id: str | None = None, estimate: Any = None) -> bool:
    """One model call through the budget; whether it took place."""
    reservation = await budget.reserve(estimate, user_id=user_id)
    if isinstance(reservation, BudgetStatus):
        return False
    await anyio.lowlevel.checkpoint()
    await budget.settle(reservation, used)
    return True


@pytest.mark.parametrize("estimate", [None, Estimate(input_tokens=60, max_output_tokens=40)])
async def test_twenty_concurrent_runs_against_a_cap_of_100_spend_at_most_100(estimate: Estimate | None) -> None:
    budget = StandardBudget(BudgetConfig(max_tokens=100))
    done = []

    async def run() -> None:
        done.append(await run_of(budget, Usage(input_tokens=60, output_tokens=40), estimate=estimate))

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(run)

    assert budget.usage_for(None)["tokens_total"] == 100
    assert done.count(True) == 1


async def test_calls_that_fit_together_are_in_flight_together() -> None:
    budget = StandardBudget(BudgetConfig(max_tokens=100))
    call = Estimate(input_tokens=10, max_output_tokens=40)

    first, second = await budget.reserve(call), await budget.reserve(call)

    assert isinstance(first, Reservation)
    assert isinstance(second, Reservation)
    assert first.max_output_tokens is second.max_output_tokens is None


async def test_a_call_waits_for_room_that_calls_in_flight_may_give_back() -> None:
    budget = StandardBudget(BudgetConfig(max_tokens=100))
    big = Estimate(input_tokens=10, max_output_tokens=90)
    first = await budget.reserve(big)
    assert isinstance(first, Reservation)
    got: list[Reservation | BudgetStatus] = []

    async def second() -> None:
        got.append(await budget.reserve(big))

    async with anyio.create_task_group() as group:
        group.start_soon(second)
        await anyio.wait_all_tasks_blocked()
        assert got == []
        await budget.settle(first, Usage(input_tokens=10, output_tokens=20))

    assert isinstance(got[0], Reservation)
    assert got[0].max_output_tokens == 60


async def test_what_one_call_gives_back_is_there_for_the_next_while_another_is_in_flight() -> None:
    budget = StandardBudget(BudgetConfig(max_tokens=100))
    half = Estimate(input_tokens=10, max_output_tokens=40)
    first, second = await budget.reserve(half), await budget.reserve(half)
    assert isinstance(first, Reservation)
    assert isinstance(second, Reservation)

    await budget.settle(first, None)

    with anyio.fail_after(1):
        assert isinstance(await budget.reserve(half), Reservation)


async def test_a_failed_call_gives_its_reservation_back() -> None:
    budget = StandardBudget(BudgetConfig(max_tokens=100))
    reservation = await budget.reserve(None)
    assert isinstance(reservation, Reservation)

    await budget.settle(reservation, None)

    assert budget.usage_for(None)["tokens_total"] == 0
    assert isinstance(await budget.reserve(Estimate(50, 50)), Reservation)


async def test_a_call_is_granted_the_output_that_the_cost_limit_pays_for() -> None:
    budget = StandardBudget(BudgetConfig(max_cost_usd=1.0))

    granted = await budget.reserve(Estimate(1000, 1000, input_cost_usd=0.5, output_cost_usd=2.0))

    assert isinstance(granted, Reservation)
    assert granted.max_output_tokens == 250


async def test_a_call_whose_input_alone_passes_a_limit_is_refused() -> None:
    budget = StandardBudget(BudgetConfig(max_tokens=1000, per_user_max_input_tokens=100))

    assert await budget.reserve(Estimate(101, 10), user_id="ann") == BudgetStatus.blocked_("per_user_max_input_tokens")
    unlimited = StandardBudget(BudgetConfig(max_tokens=1000))
    assert await unlimited.reserve(Estimate(1000, 10)) == BudgetStatus.blocked_("max_tokens")


async def test_a_cost_limit_refuses_a_model_without_a_known_price() -> None:
    budget = StandardBudget(BudgetConfig(max_cost_usd=1.0))

    status = await budget.reserve(Estimate(10, 10, priced=False))

    assert isinstance(status, BudgetStatus)
    assert status.blocked
    assert status.reason == "max_cost_usd: the model has no known price"


async def test_a_cost_limit_stops_after_a_call_that_turned_out_to_have_no_price() -> None:
    budget = StandardBudget(BudgetConfig(per_user_max_cost_usd=1.0))

    await run_of(budget, Usage(input_tokens=10, unpriced=True), user_id="ann")

    assert (await budget.allows_step(user_id="ann")).blocked
    assert not (await budget.allows_step(user_id="ben")).blocked


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (BudgetConfig(max_tokens=100, per_user_max_tokens=1), "max_tokens"),
        (BudgetConfig(max_input_tokens=60), "max_input_tokens"),
        (BudgetConfig(max_output_tokens=40), "max_output_tokens"),
        (BudgetConfig(max_cost_usd=0.5), "max_cost_usd"),
        (BudgetConfig(per_user_max_tokens=100), "per_user_max_tokens"),
        (BudgetConfig(per_user_max_input_tokens=60), "per_user_max_input_tokens"),
        (BudgetConfig(per_user_max_output_tokens=40), "per_user_max_output_tokens"),
        (BudgetConfig(per_user_max_cost_usd=0.5), "per_user_max_cost_usd"),
    ],
)
async def test_a_reached_limit_is_named(config: BudgetConfig, reason: str) -> None:
    budget = StandardBudget(config)
    assert not (await budget.allows_step(user_id="ann")).blocked

    await budget.consume(tokens_in=60, tokens_out=40, cost_usd=0.5, user_id="ann")

    assert await budget.allows_step(user_id="ann") == BudgetStatus.blocked_(reason)


async def test_one_user_at_his_limit_does_not_stop_another() -> None:
    budget = StandardBudget(BudgetConfig(per_user_max_tokens=100))
    await budget.consume(tokens_in=100, tokens_out=0, cost_usd=0, user_id="ann")

    assert (await budget.allows_step(user_id="ann")).blocked
    assert not (await budget.allows_step(user_id="ben")).blocked
    assert not (await budget.allows_step(user_id=None)).blocked


async def test_time_runs_for_everybody_from_the_start_and_for_a_user_from_his_first_call() -> None:
    clock = Clock()
    minute = timedelta(minutes=1)
    total = StandardBudget(BudgetConfig(max_wall_clock=minute), clock=clock)
    users = StandardBudget(BudgetConfig(per_user_max_wall_clock=minute), clock=clock)
    clock.now = 30
    await users.consume(tokens_in=1, tokens_out=1, cost_usd=0, user_id="ann")

    clock.now = 60

    assert (await total.allows_step()).reason == "max_wall_clock"
    assert not (await users.allows_step(user_id="ann")).blocked
    clock.now = 90
    assert (await users.allows_step(user_id="ann")).reason == "per_user_max_wall_clock"


async def test_a_budget_warns_before_it_blocks() -> None:
    budget = StandardBudget(BudgetConfig(max_tokens=100, max_cost_usd=10))
    await budget.consume(tokens_in=45, tokens_out=40, cost_usd=1)

    assert await budget.allows_step() == BudgetStatus.warn_("tokens at 85%")
    reservation = await budget.reserve(None)
    assert isinstance(reservation, Reservation)
    assert reservation.status.warn


async def test_a_blocked_user_stays_blocked_however_many_others_come() -> None:
    budget = StandardBudget(BudgetConfig(per_user_max_tokens=100), max_users=3)
    await budget.consume(tokens_in=100, tokens_out=0, cost_usd=0, user_id="ann")

    for n in range(10):
        await run_of(budget, Usage(input_tokens=1), user_id=f"user-{n}")

    assert (await budget.allows_step(user_id="ann")).blocked


async def test_users_beyond_the_bound_are_refused_where_users_have_limits() -> None:
    budget = StandardBudget(BudgetConfig(per_user_max_tokens=100), max_users=1)
    assert await run_of(budget, Usage(input_tokens=1), user_id="ann")

    assert await budget.reserve(None, user_id="ben") == BudgetStatus.blocked_("max_users")
    assert await run_of(budget, Usage(input_tokens=1), user_id="ann")


async def test_the_report_is_bounded_where_users_have_no_limits() -> None:
    budget = StandardBudget(BudgetConfig(max_tokens=1000), max_users=2)

    for user in ("ann", "ben", "cem"):
        await budget.consume(tokens_in=1, tokens_out=0, cost_usd=0, user_id=user)

    assert [budget.usage_for(user)["tokens_in"] for user in ("ann", "ben", "cem")] == [0, 1, 1]


async def test_a_crowd_that_has_spent_makes_nobody_forget_who_has_reached_his_limit() -> None:
    budget = StandardBudget(BudgetConfig(per_user_max_tokens=1), max_users=2)

    for user in ("ann", "ben", "cem", "dan"):
        await budget.consume(tokens_in=1, tokens_out=0, cost_usd=0, user_id=user)

    assert (await budget.allows_step(user_id="ann")).blocked


async def test_spending_is_forgotten_when_the_window_is_over_and_not_before() -> None:
    clock = Clock()
    budget = StandardBudget(BudgetConfig(per_user_max_tokens=1), user_idle_ttl_seconds=100, clock=clock)
    await budget.consume(tokens_in=1, tokens_out=0, cost_usd=0, user_id="ann")

    clock.now = 99
    assert (await budget.allows_step(user_id="ann")).blocked
    clock.now = 101
    assert not (await budget.allows_step(user_id="ann")).blocked


async def test_a_budget_that_only_looks_and_books_works_behind_the_same_questions() -> None:
    class Older:
        def __init__(self) -> None:
            self.booked: list[dict[str, Any]] = []

        async def allows_step(self) -> BudgetStatus:
            return BudgetStatus.ok_()

        async def consume(self, *, tokens_in: int, tokens_out: int, cost_usd: float) -> None:
            self.booked.append({"in": tokens_in, "out": tokens_out, "cost": cost_usd})

    inner = Older()
    budget = reserving(inner)  # type: ignore[arg-type]

    reservation = await budget.reserve(None, user_id="ann")
    assert isinstance(reservation, Reservation)
    await budget.settle(reservation, Usage(input_tokens=1, cached_input_tokens=2, output_tokens=3, cost_usd=0.1))

    assert inner.booked == [{"in": 3, "out": 3, "cost": 0.1}]


async def test_no_budget_lets_everything_pass() -> None:
    budget = NoBudget()

    reservation = await budget.reserve(Estimate(10**9, 10**9))

    assert isinstance(reservation, Reservation)
    await budget.settle(reservation, Usage())
    assert not (await budget.allows_step()).blocked


@pytest.mark.parametrize("limit", [-1, float("nan"), "10"])
def test_a_limit_that_is_no_number_from_zero_on_is_refused(limit: Any) -> None:
    with pytest.raises(ConfigError, match="max_cost_usd"):
        StandardBudget(BudgetConfig(max_cost_usd=limit))


@pytest.mark.parametrize("share", [5, -0.1, float("nan"), "0.8"])
def test_a_warning_at_no_share_of_a_limit_is_refused(share: Any) -> None:
    with pytest.raises(ConfigError, match="soft_warning_at"):
        BudgetConfig(soft_warning_at=share)


@pytest.mark.parametrize("limit", ["max_wall_clock", "per_user_max_wall_clock"])
def test_a_wall_clock_that_is_no_timedelta_is_refused(limit: str) -> None:
    with pytest.raises(ConfigError, match=f"{limit} is 60"):
        StandardBudget(BudgetConfig(**{limit: 60}))
