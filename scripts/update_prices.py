"""Write agents/core/llm/prices.json and sizes.json anew from the tables of litellm and genai-prices.

    uv run --with genai-prices scripts/update_prices.py

litellm is the base; genai-prices, where it is installed, is fresher for the makers' own names and wins there. Prices
are USD per million tokens: `in`, `out`, `read` and `write` of the prompt cache, `write_1h`, and the same again under
`long` for calls with more than `over` input tokens. Sizes are tokens of input and of output, or null; litellm's win,
since genai-prices only knows the two together. An entry that the others imply is left out.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from agents.core.llm.pricing import find_model, find_price, read_price  # noqa: E402

TARGET = ROOT / "agents/core/llm/prices.json"
SIZES = ROOT / "agents/core/llm/sizes.json"
MILLION = Decimal(1_000_000)
Row = dict[str, Any]
Size = tuple[int | None, int | None]

# litellm's column → ours
COLUMNS = {
    "in": "input_cost_per_token",
    "out": "output_cost_per_token",
    "read": "cache_read_input_token_cost",
    "write": "cache_creation_input_token_cost",
    "write_1h": "cache_creation_input_token_cost_above_1hr",
}
# genai-prices' unit → ours
UNITS = {
    "in": "input_mtok",
    "out": "output_mtok",
    "read": "cache_read_mtok",
    "write": "cache_write_mtok",
    "write_1h": "cache_1h_write_mtok",
}
# genai-prices' provider → how names of its models begin for us. The first to name a model sets its price.
MAKERS = dict.fromkeys(
    ["anthropic", "openai", "google", "mistral", "x-ai", "deepseek", "cohere", "perplexity", "moonshotai"], ""
)
SELLERS = {"aws": "", "groq": "groq/", "cerebras": "cerebras/", "zai": "zai/", "minimax": "minimax/"}
DIRECT = ("gemini/", "mistral/", "xai/", "deepseek/", "perplexity/", "openai/", "anthropic/", "moonshot/", "cohere/")
VENDOR = re.compile(r"^(?:global\.)?[a-z0-9]+\.[a-z]")
SKIPPED = re.compile(r"embed|image|tts|whisper|transcri|realtime|audio|moderation|-live|omni|rerank|lyria|veo")


def main() -> None:
    models: dict[str, Row] = {}
    for name, row in fresh_rows():
        models.setdefault(name, row)
    for name, row in litellm_rows():
        known = {key: read_price(value) for key, value in models.items()} if name.startswith(DIRECT) else {}
        if name not in models and not (known and find_price(name, known)):
            models[name] = row
    kept = without_implied(models)
    TARGET.write_text(text_of(kept))
    sizes: dict[str, Size] = {}
    for name, size in [*litellm_sizes(), *fresh_sizes()]:
        sizes.setdefault(name, size)
    SIZES.write_text(text_of_sizes(sizes_without_implied(sizes)))
    for path, count in ((TARGET, len(kept)), (SIZES, len(sizes))):
        print(f"{path.name}: {count} models, {path.stat().st_size // 1024} kB")  # noqa: T201


def litellm_rows() -> Iterator[tuple[str, Row]]:
    for name, entry in litellm_table():
        row = litellm_row(entry)
        if row:
            yield name, row


def litellm_sizes() -> Iterator[tuple[str, Size]]:
    for name, entry in litellm_table():
        read, said = whole(entry.get("max_input_tokens")), whole(entry.get("max_output_tokens"))
        if read or said:
            yield name, (read, said)


def whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int | Decimal) and value > 0 else None


def litellm_table() -> Iterator[tuple[str, Row]]:
    # Found, not imported: litellm asks the network for prices as soon as it is.
    package = find_spec("litellm")
    if package is None or package.origin is None:
        raise SystemExit("litellm is not installed: run this with `uv run`")
    source = Path(package.origin).with_name("model_prices_and_context_window_backup.json")
    table = json.loads(source.read_text(), parse_float=Decimal, parse_int=Decimal)
    for name, entry in table.items():
        if entry.get("mode") in {"chat", "responses"} and not SKIPPED.search(name):
            yield name.lower(), entry


def litellm_row(entry: Row) -> Row | None:
    row = {ours: entry[theirs] * MILLION for ours, theirs in COLUMNS.items() if entry.get(theirs) is not None}
    if "in" not in row or "out" not in row:
        return None
    tiers = {
        found.group(1) for key in entry if (found := re.search(r"^input_cost_per_token_above_(\d+)k_tokens$", key))
    }
    if tiers:
        size = min(tiers, key=int)
        long = {ours: entry.get(f"{theirs}_above_{size}k_tokens") for ours, theirs in COLUMNS.items()}
        found = {ours: value * MILLION for ours, value in long.items() if value is not None}
        row |= {"over": int(size) * 1000, "long": row | found}
    return row


def fresh_rows() -> Iterator[tuple[str, Row]]:
    for name, model in fresh_models():
        row = fresh_row(model)
        if row:
            yield name, row


def fresh_sizes() -> Iterator[tuple[str, Size]]:
    for name, model in fresh_models():
        if model.context_window:
            yield name, (model.context_window, None)


def fresh_models() -> Iterator[tuple[str, Any]]:
    try:
        from genai_prices.data import providers
    except ImportError:
        return
    known = {provider.id: provider for provider in providers}
    for provider_id, prefix in (MAKERS | SELLERS).items():
        for model in known[provider_id].models:
            for name in names_of(model):
                # Bedrock lists a maker's bare names too, at its own prices.
                if provider_id != "aws" or VENDOR.match(name):
                    yield prefix + name, model


def names_of(model: Any) -> Iterator[str]:
    for name in [model.id, *clause_names(model.match)]:
        lowered = name.lower().rstrip("-@:.").removeprefix("regional.")
        if not SKIPPED.search(lowered):
            yield lowered


def clause_names(clause: Any) -> Iterator[str]:
    for part in getattr(clause, "or_", [clause]):
        name = getattr(part, "equals", None)
        # A beginning like `claude-sonnet-4-2025` is no name; one that ends like a name is.
        begins = getattr(part, "starts_with", None)
        if begins and not re.search(r"[-@.:]$|-20\d\d$", begins):
            name = begins
        if name:
            yield name


def fresh_row(model: Any) -> Row | None:
    """The dearest price of the day, where it depends on the hour."""
    day = datetime.now(UTC).replace(hour=0, minute=0)
    prices = max((model.get_prices(day + timedelta(hours=hour)) for hour in range(24)), key=base_input)
    row: Row = {ours: base(getattr(prices, unit, None)) for ours, unit in UNITS.items()}
    row = {ours: value for ours, value in row.items() if value is not None}
    if "in" not in row or "out" not in row:
        return None
    tiered = [getattr(prices, unit, None) for unit in UNITS.values()]
    starts = {value.tiers[0].start for value in tiered if hasattr(value, "tiers")}
    if starts:
        first = {ours: getattr(prices, unit, None) for ours, unit in UNITS.items()}
        row |= {"long": {ours: tier(value) for ours, value in first.items() if value is not None}}
        row |= {"over": min(starts)}
    return row


def base_input(prices: Any) -> Decimal:
    return base(getattr(prices, "input_mtok", None)) or Decimal(0)


def base(value: Any) -> Any:
    return value.base if hasattr(value, "tiers") else value


def tier(value: Any) -> Any:
    return value.tiers[0].price if hasattr(value, "tiers") else value


def without_implied(models: dict[str, Row]) -> dict[str, Row]:
    """Drop every name whose price follows from the names that stay. Short names stay first."""
    kept: dict[str, Row] = {}
    known: dict[str, Any] = {}
    for name in sorted(models, key=lambda name: (len(name), name)):
        price = read_price(models[name])
        if find_price(name, known) != price:
            kept[name], known[name] = models[name], price
    return dict(sorted(kept.items()))


def sizes_without_implied(sizes: dict[str, Size]) -> dict[str, Size]:
    kept: dict[str, Size] = {}
    for name in sorted(sizes, key=lambda name: (len(name), name)):
        if find_model(name, kept) != sizes[name]:
            kept[name] = sizes[name]
    return dict(sorted(kept.items()))


def text_of_sizes(sizes: dict[str, Size]) -> str:
    head = {"generated_on": datetime.now(UTC).date().isoformat(), "unit": "tokens of input, tokens of output"}
    lines = [f"  {json.dumps(name)}: {json.dumps(size, separators=(',', ':'))}" for name, size in sizes.items()]
    return json.dumps(head, indent=1)[:-2] + ',\n "models": {\n' + ",\n".join(lines) + "\n }\n}\n"


def text_of(models: dict[str, Row]) -> str:
    """One model a line, so that a renewal reads well as a diff."""
    head = {
        "source": ", ".join(f"{name} {version_of(name)}" for name in ("litellm", "genai-prices") if version_of(name)),
        "generated_on": datetime.now(UTC).date().isoformat(),
        "unit": "USD per million tokens",
    }
    lines = [f"  {json.dumps(name)}: {json.dumps(plain(row), separators=(',', ':'))}" for name, row in models.items()]
    return json.dumps(head, indent=1)[:-2] + ',\n "models": {\n' + ",\n".join(lines) + "\n }\n}\n"


def plain(row: Row) -> Row:
    values = {key: plain(value) if isinstance(value, dict) else float(value) for key, value in row.items()}
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() else value for key, value in values.items()
    }


def version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


if __name__ == "__main__":
    main()
