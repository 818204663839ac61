"""The most that a model call may use."""

from __future__ import annotations

import pytest

from agents.core.llm.echo import EchoModel
from agents.core.llm.fallback import Fallback
from agents.core.llm.retrying import RetryingModel
from agents.core.llm.worst_case import DEFAULT_MAX_OUTPUT_TOKENS, worst_case
from loom.messages import PromptCacheConfig


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    async def complete(self, messages: object, **options: object) -> object:
        raise NotImplementedError

    stream = complete


def test_a_call_may_write_what_is_asked_for_else_what_the_model_can_else_the_default() -> None:
    assert worst_case(Named("gpt-4o"), 10, max_tokens=7).max_output_tokens == 7
    assert worst_case(Named("gpt-4o"), 10).max_output_tokens == 16_384
    assert worst_case(Named("nobody-knows-me"), 10).max_output_tokens == DEFAULT_MAX_OUTPUT_TOKENS


def test_a_known_model_is_priced_and_an_unknown_one_is_not_free() -> None:
    known = worst_case(Named("gpt-4o"), 1_000_000, max_tokens=1_000_000)
    unknown = worst_case(Named("nobody-knows-me"), 10)

    assert (known.input_cost_usd, known.output_cost_usd, known.priced) == (2.5, 10.0, True)
    assert not unknown.priced


def test_a_model_that_says_its_own_price_is_priced() -> None:
    estimate = worst_case(EchoModel(cost_per_token=0.001), 10, max_tokens=5)

    assert (estimate.input_cost_usd, estimate.output_cost_usd) == (pytest.approx(0.01), pytest.approx(0.005))


def test_a_fallback_costs_what_the_dearest_of_its_models_does() -> None:
    both = RetryingModel(Fallback(Named("gpt-4o-mini"), Named("gpt-4o")))
    dear = worst_case(Named("gpt-4o"), 1000, max_tokens=100)

    assert worst_case(both, 1000, max_tokens=100) == dear
    assert not worst_case(Fallback(Named("gpt-4o"), Named("nobody-knows-me")), 10).priced


def test_input_that_may_be_written_to_the_cache_costs_what_writing_does() -> None:
    model = Named("claude-sonnet-4-5")
    plain = worst_case(model, 1000, max_tokens=10)
    cached = worst_case(model, 1000, max_tokens=10, caching=PromptCacheConfig(enabled=True, ttl="1h"))

    assert cached.input_cost_usd == pytest.approx(2 * plain.input_cost_usd)
    assert cached.output_cost_usd == pytest.approx(plain.output_cost_usd)
