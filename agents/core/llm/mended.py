"""Texts of a model as they can be sent and kept.

Some servers cut an emoji in two and escape each half by itself, and some models write half a one. No encoding has such
halves, so what keeps or sends such a text fails on it, when the answer has been paid for.
"""

from __future__ import annotations

from typing import Any

REPLACEMENT = "\ufffd"


def mended(value: Any) -> Any:
    """A text, or the texts in lists and mappings, with halves of surrogate pairs joined or else replaced by U+FFFD.

    The value itself where there are none.
    """
    top, copies, is_whole = [value], dict[int, Any](), True
    todo: list[Any] = [top]
    while todo:  # without recursion: arguments are nested as deep as the model likes
        into = todo.pop()
        for place, item in into.items() if isinstance(into, dict) else enumerate(into):
            if isinstance(item, str):
                into[place] = _whole(item)
                is_whole = is_whole and into[place] == item
            elif isinstance(item, dict | list):
                copy = copies.get(id(item))
                if copy is None:
                    copy = copies[id(item)] = _copied(item)
                    todo.append(copy)
                    is_whole = is_whole and (isinstance(item, list) or copy.keys() == item.keys())
                into[place] = copy
    return value if is_whole else top[0]


def _copied(value: Any) -> Any:
    if isinstance(value, list):
        return list(value)
    return {_whole(key) if isinstance(key, str) else key: item for key, item in value.items()}


def _whole(text: str) -> str:
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def begun(text: str) -> tuple[str, str]:
    """A piece of a stream that can be shown, and the half at its end that waits for the next piece."""
    half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
    return _whole(text.removesuffix(half)), half
