"""Limits that hold in one process: on everything together and on each user."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from numbers import Real
from operator import attrgetter
from typing import Any

import anyio

from governance.core.budget import BudgetConfig, BudgetStatus, Estimate, Reservation, tokens_in
from loom.errors import ConfigError
from loom.messages import Usage

# A reservation is held for one model call. Whoever waits longer than this for others to settle is refused.
PATIENCE_SECONDS = 300.0


@dataclass(slots=True)
class _Amount:
    """What is used or reserved: a sum that grows and shrinks in place."""

    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float = 0.0

    def add(self, other: _Amount) -> None:
        self.tokens_in += other.tokens_in
        self.tokens_out += other.tokens_out
        self.cost_usd += other.cost_usd

    def take_off(self, other: _Amount) -> None:
        self.tokens_in -= other.tokens_in
        self.tokens_out -= other.tokens_out
        self.cost_usd -= other.cost_usd

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out


def _output_that_is_paid(left: float, call: Estimate) -> float:
    left -= call.input_cost_usd
    price = call.output_cost_usd / call.max_output_tokens if call.max_output_tokens else 0.0
    return left / price if price else math.inf if left >= 0 else 0


# What of an amount counts, and how many tokens of output the rest of the limit leaves to a call with its input. The
# limits are looked at in this order.
_KINDS: Mapping[str, tuple[Callable[[_Amount], float], Callable[[float, Estimate], float]]] = {
    "tokens": (attrgetter("tokens"), lambda left, call: left - call.input_tokens),
    "input_tokens": (attrgetter("tokens_in"), lambda left, call: math.inf if call.input_tokens <= left else 0),
    "output_tokens": (attrgetter("tokens_out"), lambda left, call: left),
    "cost_usd": (attrgetter("cost_usd"), _output_that_is_paid),
}


@dataclass(frozen=True, slots=True)
class _Limit:
    """A limit on an amount that is set. Raises ConfigError for one that is no limit."""

    name: str
    kind: str
    most: float
    used: Callable[[_Amount], float]
    room: Callable[[float, Estimate], float]

    @classmethod
    def of(cls, prefix: str, kind: str, most: Any) -> _Limit:
        if not (isinstance(most, Real) and float(most) >= 0):
            raise ConfigError(f"budget: {prefix}{kind} is {most!r}; a limit is a number from zero on, or None")
        return cls(prefix + kind, kind, float(most), *_KINDS[kind])


class _Limits:
    """The limits of one account, under the names of the configuration."""

    def __init__(self, config: BudgetConfig, prefix: str) -> None:
        values = {kind: getattr(config, prefix + kind) for kind in _KINDS}
        self.prefix = prefix
        self.on_amounts = tuple(_Limit.of(prefix, kind, most) for kind, most in values.items() if most is not None)
        self.on_cost = values["cost_usd"] is not None
        self.wall_clock: timedelta | None = getattr(config, f"{prefix}wall_clock")
        if not isinstance(self.wall_clock, timedelta | None):
            raise ConfigError(f"budget: {prefix}wall_clock is {self.wall_clock!r}; it is a timedelta, or None")
        self.exist = bool(self.on_amounts) or self.wall_clock is not None


@dataclass(slots=True)
class _Account:
    """What one user, or everybody together, has spent and has in flight. `exclusive` counts calls of unknown size."""

    since: float
    touched_at: float
    spent: _Amount = field(default_factory=_Amount)
    reserved: _Amount = field(default_factory=_Amount)
    in_flight: int = 0
    exclusive: int = 0
    unpriced: bool = False


@dataclass(slots=True)
class _Hold:
    """A reservation as the budget keeps it. Without an amount it holds all that is left."""

    amount: _Amount | None
    accounts: tuple[_Account, ...]
    open: bool = True


_Books = tuple[tuple[_Limits, _Account], ...]
_FINE = BudgetStatus.ok_()
_UNKNOWN = Estimate(input_tokens=0, max_output_tokens=0)


class StandardBudget:
    """Limits in this process, with reservations. For one event loop.

    A call whose worst case does not fit beside the calls in flight waits until they are settled. When nothing is in
    flight it is granted the output that is left, and refused when not even one token is. A call of unknown size gets
    all that is left, so such calls take turns. A cost limit refuses calls without a known price.

    A user's spending is forgotten `user_idle_ttl_seconds` after his last call and never before: that is the window of
    the per-user limits. Where these exist, users beyond `max_users` in one window are refused (`max_users`); where none
    do, the user who is idle for longest is dropped from the report.
    """

    def __init__(
        self,
        cfg: BudgetConfig | None = None,
        *,
        max_users: int | None = 100_000,
        user_idle_ttl_seconds: float | None = 24 * 3600,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        config = cfg or BudgetConfig()
        self._limits = _Limits(config, "max_")
        self._user_limits = _Limits(config, "per_user_max_")
        self._warns_at = config.soft_warning_at
        self._max_users = max_users
        self._idle_ttl = user_idle_ttl_seconds
        self._clock = clock
        self._total = _Account(since=clock(), touched_at=clock())
        self._users: OrderedDict[str | None, _Account] = OrderedDict()  # the one idle for longest comes first
        self._waiting: list[anyio.Event] = []

    async def allows_step(self, *, user_id: str | None = None) -> BudgetStatus:
        """Whether a step may begin, by what is spent. What is in flight counts in `reserve` only."""
        self._forget_idle()
        books = self._books(user_id)
        blocked = self._reached(books)
        return BudgetStatus.blocked_(blocked) if blocked else self._warning(books)

    async def consume(self, *, tokens_in: int, tokens_out: int, cost_usd: float, user_id: str | None = None) -> None:
        """Book what was used, whatever the limits say: it has happened."""
        used = _Amount(tokens_in, tokens_out, cost_usd)
        for account in (self._total, self._opened(user_id)):
            account.spent.add(used)

    def usage_for(self, user_id: str | None) -> dict[str, float]:
        """What a user has spent in his window."""
        account = self._users.get(user_id)
        spent = account.spent if account else _Amount()
        return {
            "tokens_in": spent.tokens_in,
            "tokens_out": spent.tokens_out,
            "tokens_total": spent.tokens,
            "cost_usd": spent.cost_usd,
        }

    async def reserve(self, estimate: Estimate | None, *, user_id: str | None = None) -> Reservation | BudgetStatus:
        """Take the worst case of a call out of what is left; None stands for a call of unknown size."""
        if answer := self._try_to_reserve(estimate, user_id):
            return answer
        with anyio.move_on_after(PATIENCE_SECONDS):
            while not answer:
                settled = anyio.Event()
                self._waiting.append(settled)
                await settled.wait()
                answer = self._try_to_reserve(estimate, user_id)
            return answer
        return BudgetStatus.blocked_(f"calls in flight held the rest for {PATIENCE_SECONDS:.0f} s")

    async def settle(self, reservation: Reservation, actual: Usage | None) -> None:
        """Replace a reservation by what was used, or release it. Never waits."""
        hold: _Hold = reservation.handle
        if not hold.open:
            return
        hold.open = False
        for account in hold.accounts:
            _release(account, hold.amount)
        if actual is not None:
            used = _Amount(tokens_in(actual), actual.output_tokens, actual.cost_usd)
            for account in hold.accounts:
                account.spent.add(used)
                account.unpriced |= actual.unpriced
        waiting, self._waiting = self._waiting, []
        for settled in waiting:
            settled.set()

    def _try_to_reserve(self, call: Estimate | None, user_id: str | None) -> Reservation | BudgetStatus | None:
        """A reservation, a refusal, or None when it depends on the calls in flight."""
        self._forget_idle()
        books = self._books(user_id)
        room, tightest = _room(books, call or _UNKNOWN)
        blocked = self._reached(books) or _unpriced(call, books)
        if not blocked and call and room < min(1, call.max_output_tokens):
            blocked = tightest
        if not blocked and user_id not in self._users and self._user_limits.exist and self._is_full():
            blocked = "max_users"
        if blocked:
            return BudgetStatus.blocked_(blocked)
        if _must_wait(call, books):
            return None
        return self._hold(call, room, user_id, self._warning(books))

    def _hold(self, call: Estimate | None, room: float, user_id: str | None, status: BudgetStatus) -> Reservation:
        granted = int(room) if room < (call.max_output_tokens if call else math.inf) else None
        amount = _worst_case(call, granted) if call else None
        hold = _Hold(amount, (self._total, self._opened(user_id)))
        for account in hold.accounts:
            account.in_flight += 1
            if amount is None:
                account.exclusive += 1
            else:
                account.reserved.add(amount)
        return Reservation(user_id, granted, status, hold)

    def _books(self, user_id: str | None) -> _Books:
        """The accounts that have limits."""
        books: _Books = ((self._limits, self._total),) if self._limits.exist else ()
        if not self._user_limits.exist:
            return books
        user = self._users.get(user_id) or _Account(since=math.inf, touched_at=0.0)
        return (*books, (self._user_limits, user))

    def _reached(self, books: _Books) -> str | None:
        """The first limit that is reached, the global ones first."""
        for limits, account in books:
            for limit in limits.on_amounts:
                if limit.used(account.spent) >= limit.most:
                    return limit.name
            if limits.on_cost and account.unpriced:
                return f"{limits.prefix}cost_usd: a call had no known price"
            if limits.wall_clock is not None and self._clock() - account.since >= limits.wall_clock.total_seconds():
                return f"{limits.prefix}wall_clock"
        return None

    def _warning(self, books: _Books) -> BudgetStatus:
        for limits, account in books:
            for limit in limits.on_amounts:
                used = limit.used(account.spent)
                if limit.most and used >= limit.most * self._warns_at:
                    scope = "" if limits is self._limits else "per-user "
                    label = "cost" if limit.kind == "cost_usd" else limit.kind.replace("_", " ")
                    return BudgetStatus.warn_(f"{scope}{label} at {100 * used / limit.most:.0f}%")
        return _FINE

    def _opened(self, user_id: str | None) -> _Account:
        """The account of a user who spends now."""
        now = self._clock()
        if user_id not in self._users:
            if self._is_full() and not self._user_limits.exist:
                self._drop_one()
            self._users[user_id] = _Account(since=now, touched_at=now)
        account = self._users[user_id]
        account.touched_at = now
        self._users.move_to_end(user_id)
        return account

    def _is_full(self) -> bool:
        return self._max_users is not None and len(self._users) >= self._max_users

    def _drop_one(self) -> None:
        for user_id, account in self._users.items():
            if not account.in_flight:
                del self._users[user_id]
                return

    def _forget_idle(self) -> None:
        if self._idle_ttl is None:
            return
        horizon = self._clock() - self._idle_ttl
        while self._users:
            oldest = next(iter(self._users))
            account = self._users[oldest]
            if account.in_flight or account.touched_at > horizon:
                return
            del self._users[oldest]


def _unpriced(call: Estimate | None, books: _Books) -> str | None:
    if call is None or call.priced:
        return None
    for limits, _ in books:
        if limits.on_cost:
            return f"{limits.prefix}cost_usd: the model has no known price"
    return None


def _room(books: _Books, call: Estimate) -> tuple[float, str]:
    """The output that all limits leave to a call, and the limit that leaves the least."""
    least, tightest = math.inf, ""
    for limits, account in books:
        for limit in limits.on_amounts:
            room = limit.room(limit.most - limit.used(account.spent), call)
            if room < least:
                least, tightest = room, limit.name
    return least, tightest


def _must_wait(call: Estimate | None, books: _Books) -> bool:
    """Whether the calls in flight decide if there is room."""
    for limits, account in books:
        if not limits.on_amounts or not account.in_flight:
            continue
        if call is None or account.exclusive:
            return True
        wanted = (account.spent, account.reserved, _worst_case(call, None))
        if any(sum(map(limit.used, wanted)) > limit.most for limit in limits.on_amounts):
            return True
    return False


def _worst_case(call: Estimate, granted: int | None) -> _Amount:
    if granted is None or not call.max_output_tokens:
        return _Amount(call.input_tokens, call.max_output_tokens, call.input_cost_usd + call.output_cost_usd)
    price = call.output_cost_usd / call.max_output_tokens
    return _Amount(call.input_tokens, granted, call.input_cost_usd + granted * price)


def _release(account: _Account, amount: _Amount | None) -> None:
    account.in_flight -= 1
    if amount is None:
        account.exclusive -= 1
    elif account.in_flight:
        account.reserved.take_off(amount)
    else:
        account.reserved = _Amount()  # nothing in flight: no rest of rounding stays behind
