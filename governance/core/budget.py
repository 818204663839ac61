"""What runs may spend: reserved before a model call, settled after it.

A budget that only looks first and books later lets parallel calls overspend together. `reserve` therefore takes the
worst case out of what is left in one step, and `settle` replaces it by what was really used.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel

from loom.errors import ConfigError
from loom.legacy import takes
from loom.messages import FROZEN, Usage


class BudgetStatus(BaseModel):
    """Whether another step is allowed. The reason of `blocked` is the limit, of `warn` a text like `tokens at 85%`."""

    model_config = FROZEN

    state: Literal["ok", "warn", "blocked"]
    reason: str | None = None

    @property
    def blocked(self) -> bool:
        return self.state == "blocked"

    @property
    def warn(self) -> bool:
        return self.state == "warn"

    @classmethod
    def ok_(cls) -> BudgetStatus:
        return cls(state="ok")

    @classmethod
    def warn_(cls, reason: str) -> BudgetStatus:
        return cls(state="warn", reason=reason)

    @classmethod
    def blocked_(cls, reason: str) -> BudgetStatus:
        return cls(state="blocked", reason=reason)


_OK = BudgetStatus.ok_()


@runtime_checkable
class Budget(Protocol):
    """The smallest budget: may another step begin, and this is what it used."""

    async def allows_step(self, *, user_id: str | None = None) -> BudgetStatus: ...

    async def consume(
        self, *, tokens_in: int, tokens_out: int, cost_usd: float, user_id: str | None = None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Estimate:
    """The worst case of one model call: its input, and as much output as the call would allow.

    `output_cost_usd` is the cost of all `max_output_tokens`. `priced=False` says that the price is unknown, which a
    cost limit refuses.
    """

    input_tokens: int
    max_output_tokens: int
    input_cost_usd: float = 0.0
    output_cost_usd: float = 0.0
    priced: bool = True


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one model call may use at most.

    `max_output_tokens` is set when a limit leaves room for less output than was asked for: pass it to the model.
    `status` is the warning, if any. `handle` belongs to the budget that made the reservation.
    """

    user_id: str | None = None
    max_output_tokens: int | None = None
    status: BudgetStatus = _OK
    handle: Any = None


@runtime_checkable
class ReservingBudget(Budget, Protocol):
    """A budget that parallel calls cannot overspend together.

    `reserve` takes the worst case of a call, or None where it is unknown, and answers with a reservation or with the
    status that blocks; it may wait for calls in flight. Every reservation is settled once: with what was used, or with
    None when the call did not happen. Settling twice changes nothing.
    """

    async def reserve(self, estimate: Estimate | None, *, user_id: str | None = None) -> Reservation | BudgetStatus: ...

    async def settle(self, reservation: Reservation, actual: Usage | None) -> None: ...


class NoBudget:
    """No limit. The loop knows this one and does not even ask it."""

    async def allows_step(self, *, user_id: str | None = None) -> BudgetStatus:
        return _OK

    async def consume(self, *, tokens_in: int, tokens_out: int, cost_usd: float, user_id: str | None = None) -> None:
        return None

    async def reserve(self, estimate: Estimate | None, *, user_id: str | None = None) -> Reservation | BudgetStatus:
        return Reservation(user_id=user_id)

    async def settle(self, reservation: Reservation, actual: Usage | None) -> None:
        return None


@dataclass(slots=True)
class BudgetConfig:
    """Limits of everything together and of each user. None is no limit. Warnings begin at `soft_warning_at` of one."""

    max_tokens: int | None = None
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    max_cost_usd: float | None = None
    max_wall_clock: timedelta | None = None
    per_user_max_tokens: int | None = None
    per_user_max_input_tokens: int | None = None
    per_user_max_output_tokens: int | None = None
    per_user_max_cost_usd: float | None = None
    per_user_max_wall_clock: timedelta | None = None
    soft_warning_at: float = 0.8

    def __post_init__(self) -> None:
        at = self.soft_warning_at
        if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at <= 1:
            raise ConfigError(f"budget: soft_warning_at is {at!r}; it is a share of each limit, from 0 to 1")


@dataclass(slots=True)
class _Told:
    """Whether a budget was told what a call has used."""

    once: bool = False


class Unreserved:
    """A budget without reservations, in the shape of one that has them. Parallel calls may overspend it together."""

    def __init__(self, inner: Budget) -> None:
        self._inner = inner
        self._asks_user = takes(inner.allows_step, "user_id")
        self._tells_user = takes(inner.consume, "user_id")

    async def allows_step(self, *, user_id: str | None = None) -> BudgetStatus:
        return await (self._inner.allows_step(user_id=user_id) if self._asks_user else self._inner.allows_step())

    async def consume(self, *, tokens_in: int, tokens_out: int, cost_usd: float, user_id: str | None = None) -> None:
        user = {"user_id": user_id} if self._tells_user else {}
        await self._inner.consume(tokens_in=tokens_in, tokens_out=tokens_out, cost_usd=cost_usd, **user)

    async def reserve(self, estimate: Estimate | None, *, user_id: str | None = None) -> Reservation | BudgetStatus:
        status = await self.allows_step(user_id=user_id)
        return status if status.blocked else Reservation(user_id=user_id, status=status, handle=_Told())

    async def settle(self, reservation: Reservation, actual: Usage | None) -> None:
        told: _Told = reservation.handle
        if actual is not None and not told.once:
            told.once = True  # also when it fails: it may have booked
            await self.consume(
                tokens_in=tokens_in(actual),
                tokens_out=actual.output_tokens,
                cost_usd=actual.cost_usd,
                user_id=reservation.user_id,
            )


def reserving(budget: Budget) -> ReservingBudget:
    """The budget itself, or, when it only has the smaller protocol, a wrapper that reserves nothing."""
    return budget if isinstance(budget, ReservingBudget) else Unreserved(budget)


def tokens_in(usage: Usage) -> int:
    """Everything that went into the model: limits count cached input like the rest."""
    return usage.input_tokens + usage.cached_input_tokens + usage.cache_write_tokens
