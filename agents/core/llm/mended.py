"""Texts of a model as they can be sent and kept.

Some servers cut an emoji in two and escape each half by itself, and some models write half a one. No encoding has such
halves, so what keeps or sends such a text fails on it, when the answer has been paid for.
"""

from __future__ import annotations

from typing import Any

REPLACEMENT = "\ufffd"


def mended(value: Any) -> Any:
    """A text, or the texts in lists and mappings, with halves of surrogate pairs joined or else replaced by U+FFFD."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {mended(key): mended(item) for key, item in value.items()}
    if isinstance(value, list):
        return [mended(item) for item in value]
    return value


def begun(text: str) -> tuple[str, str]:
    """A piece of a stream that can be shown, and the half at its end that waits for the next piece."""
    half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
    return mended(text.removesuffix(half)), half
