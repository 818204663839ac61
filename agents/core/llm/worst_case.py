"""The most that a model call may use, before it is made: what a budget reserves."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from agents.core.llm.pricing import Price, price_of
from agents.core.llm.sizes import size_of
from governance.core.budget import Estimate
from loom.messages import PromptCacheConfig

# For a model that nobody knows and that says nothing itself: more than most answers, less than most models' limit.
DEFAULT_MAX_OUTPUT_TOKENS = 4_096


def worst_case(
    model: Any, input_tokens: int, *, max_tokens: int | None = None, caching: PromptCacheConfig | None = None
) -> Estimate:
    """What a call with this input uses at most: as much output as is asked for, or as the model can write.

    A model around others costs what the dearest of them does; it is priced when all of them are.
    """
    output_tokens = max_tokens or size_of(model).max_output_tokens or DEFAULT_MAX_OUTPUT_TOKENS
    prices = _prices(model)
    costs = [_costs(price, input_tokens, output_tokens, caching) for price in prices if price is not None]
    if len(costs) < len(prices):
        return Estimate(input_tokens, output_tokens, priced=False)
    heard, said = max(costs, key=sum)
    return Estimate(input_tokens, output_tokens, float(heard), float(said))


def _prices(model: Any) -> list[Price | None]:
    """The price of each model inside this one: what it says itself in `price`, else the list price."""
    if (inner := getattr(model, "inner", None)) is not None:
        return _prices(inner)
    if models := getattr(model, "models", None):
        return [price for one in models for price in _prices(one)]
    return [getattr(model, "price", None) or price_of(model.name)]


def _costs(
    price: Price, input_tokens: int, output_tokens: int, caching: PromptCacheConfig | None
) -> tuple[Decimal, Decimal]:
    """What input and output cost. With prompt caching, all of the input may be written to the cache."""
    cached = caching is not None and caching.enabled
    plain, written = (0, input_tokens) if cached else (input_tokens, 0)
    ttl = caching.ttl if caching is not None else "5m"
    heard = price.cost(plain, 0, cache_write_tokens=written, cache_ttl=ttl)
    return heard, price.cost(plain, output_tokens, cache_write_tokens=written, cache_ttl=ttl) - heard
