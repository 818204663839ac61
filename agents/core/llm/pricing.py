"""What a model call costs, from the dated list prices in `prices.json`; `scripts/update_prices.py` renews them.

A model is looked up by its whole name first, so that a reseller's own price wins; then without the reseller, the region
and the date. What is left must be a known model: `claude-opus-4-7` is never priced as `claude-opus-4`. A model that is
not known has no price. It is not free.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

T = TypeVar("T")
_MILLION = Decimal(1_000_000)
_DATA = Path(__file__).with_name("prices.json")


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens. `long` is what all tokens of a call cost whose whole input is over `over` tokens."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal
    cache_write_1h: Decimal
    over: int | None = None
    long: Price | None = None

    def cost(
        self,
        input_tokens: int,
        output_tokens: int,
        *,
        cached_input_tokens: int = 0,
        cache_write_tokens: int = 0,
        cache_ttl: str = "5m",
    ) -> Decimal:
        """USD. The three input buckets do not overlap."""
        whole = input_tokens + cached_input_tokens + cache_write_tokens
        price = self.long if self.long and self.over is not None and whole > self.over else self
        write = price.cache_write_1h if cache_ttl == "1h" else price.cache_write
        return (
            input_tokens * price.input
            + cached_input_tokens * price.cache_read
            + cache_write_tokens * write
            + output_tokens * price.output
        ) / _MILLION


def estimate_cost(
    model: str,
    input_tokens: int,
    output_tokens: int,
    *,
    cached_input_tokens: int = 0,
    cache_write_tokens: int = 0,
    cache_ttl: Literal["5m", "1h"] = "5m",
) -> float | None:
    """USD by list price; None for a model whose price is not known. `input_tokens` excludes the cached ones."""
    price = price_of(model)
    if price is None:
        return None
    cost = price.cost(
        input_tokens,
        output_tokens,
        cached_input_tokens=cached_input_tokens,
        cache_write_tokens=cache_write_tokens,
        cache_ttl=cache_ttl,
    )
    return float(cost)


@lru_cache(maxsize=1024)
def price_of(model: str) -> Price | None:
    """The list price of a model, or None when it is not known."""
    return find_price(model, _prices())


def price_version() -> str:
    """The day the prices are of, for the books: a cost is only as good as the list it was made from."""
    return str(_list()["generated_on"])


# Their names carry the model of somebody else at the same list price, unless the list says otherwise.
# fmt: off
_RESELLERS = frozenset([
    "litellm", "litellm_proxy", "openrouter", "vercel_ai_gateway", "azure", "azure_ai", "bedrock", "bedrock_converse",
    "converse", "invoke", "vertex_ai", "vertex_ai_beta", "gemini", "google", "openai", "responses", "anthropic",
    "mistral", "mistralai", "deepseek", "xai", "x-ai", "cohere", "cohere_chat", "perplexity", "moonshot", "moonshotai",
])
# fmt: on
_OWN_MACHINE = ("ollama/", "ollama_chat/", "llamafile/", "lm_studio/")
_REGION = re.compile(r"^(?:(?:us|eu|apac|au|jp|ca|sa|me|global|us-gov)\.|[a-z]{2}(?:-gov)?-[a-z]+-\d/)")
_VERSION = re.compile(r"(?:[-@:](?:latest|default|\d{8}|\d{4}-\d{2}-\d{2}|\d{3,4}|v\d+(?::\d+)?))+")
FREE = Price(Decimal(0), Decimal(0), Decimal(0), Decimal(0), Decimal(0))


def find_price(model: str, prices: Mapping[str, Price]) -> Price | None:
    """The price in a list of model names: see the module."""
    found = find_model(model, prices)
    return FREE if found is None and model.strip().lower().startswith(_OWN_MACHINE) else found


def find_model(model: str, table: Mapping[str, T]) -> T | None:
    """What a table says of a model, by its whole name or by what it is a version, a region or a resale of."""
    for candidate in _spellings(model.strip().lower()):
        found = table.get(candidate) or _of_version(candidate, table)
        if found:
            return found
    return None


def _spellings(name: str) -> Iterator[str]:
    yield name
    while True:
        head, slash, rest = name.partition("/")
        region = _REGION.match(name)
        if region:
            name = name[region.end() :]
        elif slash and head in _RESELLERS:
            name = rest
        elif name.startswith("anthropic."):
            name = name.removeprefix("anthropic.")
        else:
            return
        yield name


def _of_version(name: str, table: Mapping[str, T]) -> T | None:
    """The entry of the longest known name that the given one only dates: `gpt-5-2027-01-31` is a `gpt-5`."""
    for end in range(len(name) - 1, 0, -1):
        if name[end] not in "-@:" or name[:end] not in table:
            continue
        tuned = name.startswith("ft:") and name[end] == ":"  # what follows is the owner's name of the tuned model
        if tuned or _VERSION.fullmatch(name, end):
            return table[name[:end]]
    return None


@cache
def _list() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(_DATA.read_text(), parse_float=Decimal, parse_int=Decimal)
    return loaded


@cache
def _prices() -> dict[str, Price]:
    return {name: read_price(row) for name, row in _list()["models"].items()}


def read_price(row: dict[str, Any]) -> Price:
    """A row of the list. A cache price that is not listed is a careful guess: reads in full, writes as Anthropic's."""
    tokens = Decimal(row["in"])
    over, long = row.get("over"), row.get("long")
    return Price(
        input=tokens,
        output=Decimal(row["out"]),
        cache_read=Decimal(row.get("read", tokens)),
        cache_write=Decimal(row.get("write", tokens * Decimal("1.25"))),
        cache_write_1h=Decimal(row.get("write_1h", tokens * 2)),
        over=int(over) if over else None,
        long=read_price(long) if long else None,
    )
