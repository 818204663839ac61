"""List prices: which model a name means, and what a call of it costs."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.llm import pricing
from agents.core.llm.pricing import Price, estimate_cost, find_price, price_of, price_version, read_price

DATA = Path(pricing.__file__).with_name("prices.json")
KNOWN = json.loads(DATA.read_text())["models"]
MILLION = 1_000_000


def flat(tokens: str) -> Price:
    return read_price({"in": Decimal(tokens), "out": Decimal(tokens)})


@pytest.mark.parametrize(
    "model",
    [
        "gpt-5",
        "gpt-4o",
        "o1",
        "o3",
        "o4-mini",
        "azure/gpt-4o",
        "azure/gpt-5",
        "bedrock/anthropic.claude-opus-4-7-v1:0",
        "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "bedrock/us-east-1/anthropic.claude-sonnet-4-6",
        "gemini/gemini-2.5-pro",
        "gemini-2.5-flash",
        "vertex_ai/gemini-2.5-pro",
        "vertex_ai/claude-opus-4-6@20260205",
        "openrouter/anthropic/claude-opus-4.7",
        "groq/llama-3.3-70b-versatile",
        "mistral-large-latest",
        "command-r-plus",
        "claude-opus-4-7",
        "claude-opus-4-7-20260416",
        "Claude-Opus-4-7",
    ],
)
def test_models_of_gateways_and_of_every_large_maker_have_a_price(model: str) -> None:
    assert estimate_cost(model, MILLION, MILLION) > 0


def test_opus_since_4_5_is_not_priced_as_opus_4() -> None:
    assert estimate_cost("claude-opus-4-7", MILLION, MILLION) == pytest.approx(30.0)
    assert estimate_cost("claude-opus-4-5-20251101", MILLION, MILLION) == pytest.approx(30.0)
    assert estimate_cost("claude-opus-4-20250514", MILLION, MILLION) == pytest.approx(90.0)


@pytest.mark.parametrize(
    "model",
    ["claude-opus-4-99", "gpt-5.99", "gpt-4o-super", "azure/my-deployment", "together_ai/unheard-of", "", "/", "echo"],
)
def test_an_unknown_model_has_no_price_and_is_not_free(model: str) -> None:
    assert price_of(model) is None
    assert estimate_cost(model, 1000, 1000) is None


def test_models_on_the_own_machine_cost_nothing() -> None:
    assert estimate_cost("ollama/some-model:7b", MILLION, MILLION) == 0.0


def test_the_three_input_buckets_have_their_own_prices() -> None:
    opus = "claude-opus-4-7"  # 5 in, 25 out; reads a tenth, writes 1.25 and 2 times

    assert estimate_cost(opus, 0, MILLION) == pytest.approx(25.0)
    assert estimate_cost(opus, 0, 0, cached_input_tokens=MILLION) == pytest.approx(0.5)
    assert estimate_cost(opus, 0, 0, cache_write_tokens=MILLION) == pytest.approx(6.25)
    assert estimate_cost(opus, 0, 0, cache_write_tokens=MILLION, cache_ttl="1h") == pytest.approx(10.0)


def test_openai_cache_reads_have_their_list_price() -> None:
    assert estimate_cost("gpt-4o", 0, 0, cached_input_tokens=MILLION) == pytest.approx(1.25)


def test_a_long_prompt_makes_every_token_of_the_call_dearer() -> None:
    pro = "gemini-2.5-pro"  # 1.25 and 10, over 200k 2.5 and 15

    assert estimate_cost(pro, 200_000, 1000) == pytest.approx(0.26)
    assert estimate_cost(pro, 200_001, 1000) == pytest.approx(0.515, rel=1e-4)
    assert estimate_cost(pro, 1, 0, cached_input_tokens=200_000) > estimate_cost(pro, 0, 0, cached_input_tokens=200_000)


def test_money_is_exact() -> None:
    price = read_price({"in": Decimal("0.1"), "out": Decimal("0.2")})

    assert price.cost(3, 3) == Decimal("0.0000009")
    assert all(isinstance(getattr(price_of("gpt-4o"), name), Decimal) for name in ("input", "output", "cache_read"))


def test_an_unlisted_cache_price_is_never_below_the_plain_one() -> None:
    price = read_price({"in": Decimal(2), "out": Decimal(4)})

    assert (price.cache_read, price.cache_write, price.cache_write_1h) == (2, Decimal("2.5"), 4)


def test_a_reseller_s_own_price_wins_over_the_maker_s() -> None:
    prices = {"gpt-x": flat("1"), "azure/gpt-x": flat("2"), "azure/eu/gpt-x": flat("3")}

    found = [find_price(name, prices).input for name in ("gpt-x", "azure/gpt-x", "azure/eu/gpt-x", "litellm/gpt-x")]

    assert found == [1, 2, 3, 1]


def test_a_date_or_version_is_taken_off_and_the_longest_known_name_wins() -> None:
    prices = {"m": flat("1"), "m-2024-05-13": flat("2"), "ft:m": flat("3")}

    names = ["m-2024-08-06", "m-latest", "m@20250101", "m-v1:0", "m-001", "m-2024-05-13", "ft:m:acme::x", "m-mini"]

    assert [(p := find_price(name, prices)) and p.input for name in names] == [1, 1, 1, 1, 1, 2, 3, None]


def test_the_prices_are_dated_small_and_say_where_they_are_from() -> None:
    head = json.loads(DATA.read_text())

    assert price_version() == head["generated_on"]
    assert head["source"].startswith("litellm ")
    assert DATA.stat().st_size < 300_000


def test_every_listed_model_is_found_and_no_price_is_negative() -> None:
    for name in KNOWN:
        price = price_of(name)
        assert price is not None, name
        assert min(price.input, price.output, price.cache_read, price.cache_write) >= 0, name


@given(st.sampled_from(sorted(KNOWN)), *[st.integers(0, 10**7)] * 4)
def test_more_tokens_never_cost_less(model: str, tokens: int, output: int, cached: int, more: int) -> None:
    less = estimate_cost(model, tokens, output, cached_input_tokens=cached)

    assert estimate_cost(model, tokens + more, output + more, cached_input_tokens=cached + more) >= less >= 0


@given(st.text(max_size=60))
def test_no_name_can_break_the_lookup(name: str) -> None:
    price = price_of(name)

    assert price is None or price.input >= 0


def test_prices_are_read_on_first_use_and_not_at_import() -> None:
    code = "from agents.core.llm import pricing; print(pricing._list.cache_info().currsize)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "0"
