"""How much a model can read and write, from the dated list in `sizes.json`; `scripts/update_prices.py` renews it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from agents.core.llm.pricing import find_model

_DATA = Path(__file__).with_name("sizes.json")


@dataclass(frozen=True, slots=True)
class Size:
    """Tokens that a model reads and writes at most in one call. None is not known."""

    max_input_tokens: int | None = None
    max_output_tokens: int | None = None


_UNKNOWN = Size()


def size_of(model: Any) -> Size:
    """The size of a model: what it says itself in `max_input_tokens` and `max_output_tokens`, else what the list says.

    A model that is made with `max_tokens` writes no more than that. A model around others is as large as the smallest
    of them.
    """
    if (inner := getattr(model, "inner", None)) is not None:
        return size_of(inner)
    if models := getattr(model, "models", None):
        return _smallest([size_of(one) for one in models])
    listed = listed_size(model.name)
    read = getattr(model, "max_input_tokens", None)
    said = getattr(model, "max_output_tokens", None) or getattr(model, "max_tokens", None)
    return Size(read or listed.max_input_tokens, said or listed.max_output_tokens) if read or said else listed


@lru_cache(maxsize=1024)
def listed_size(name: str) -> Size:
    """The size of the model of this name, as far as the list knows it."""
    row = find_model(name, _rows())
    return Size(*row) if row else _UNKNOWN


def _smallest(sizes: Sequence[Size]) -> Size:
    read = [size.max_input_tokens for size in sizes if size.max_input_tokens]
    said = [size.max_output_tokens for size in sizes if size.max_output_tokens]
    return Size(min(read, default=None), min(said, default=None))


@cache
def _rows() -> dict[str, tuple[int | None, int | None]]:
    rows: dict[str, tuple[int | None, int | None]] = json.loads(_DATA.read_text())["models"]
    return rows
