"""What has become of a call's arguments, for people to read before they agree."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Fate = Literal["same", "changed", "added", "removed"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One argument before and after. `lines` are its text, each with ` `, `-` or `+` for kept, gone and new."""

    name: str
    fate: Fate
    lines: tuple[tuple[str, str], ...]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Every argument of either, in the order of the first and then of what is new."""
    return [_difference(name, before, after) for name in [*before, *(name for name in after if name not in before)]]


def readable(value: Any) -> str:
    """A value as JSON, except that a text is shown as it is."""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _difference(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference:
    if name not in after:
        return Difference(name, "removed", _marked("-", before[name]))
    if name not in before:
        return Difference(name, "added", _marked("+", after[name]))
    old, new = _shown(before[name], after[name]), _shown(after[name], before[name])
    if json.dumps(before[name], sort_keys=True) == json.dumps(after[name], sort_keys=True):
        return Difference(name, "same", _marked(" ", before[name]))
    return Difference(name, "changed", tuple(_compared(old, new)))


def _shown(value: Any, other: Any) -> list[str]:
    """Lines of the value; a text beside something that is none keeps its quotes, or `"5"` and `5` would look alike."""
    text = readable(value) if isinstance(value, str) == isinstance(other, str) else json.dumps(value, indent=2)
    return text.splitlines() or [""]


def _marked(mark: str, value: Any) -> tuple[tuple[str, str], ...]:
    return tuple((mark, line) for line in readable(value).splitlines() or [""])


def _compared(old: list[str], new: list[str]) -> Iterator[tuple[str, str]]:
    for tag, first, last, begin, end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from ((" ", line) for line in old[first:last])
        else:
            yield from (("-", line) for line in old[first:last])
            yield from (("+", line) for line in new[begin:end])
