"""What Chroma can look for by itself.

A filter is put to Chroma as far as it means the same there: whatever fits the filter fits that, and the rest of the
filter is applied to what comes back. So Chroma decides nothing about missing fields, types and great numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

from memory.core.vector_stores.filters import FilterError

Where = dict[str, Any]
Scalar = str | bool | int | float

_KEY = re.compile(r"\w[\w .:/-]*")
_RESERVED = ("chroma:", "_loom")
_EXACT = 2**53  # whole numbers up to here are the same as floats
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


def where_for(filter: Mapping[str, Any]) -> Where | None:
    """Raises FilterError for `$not`."""
    return _all(_part(key, value) for key, value in filter.items())


def is_key(key: object) -> bool:
    """Whether Chroma takes this as the name of a field."""
    return isinstance(key, str) and bool(_KEY.fullmatch(key)) and not key.startswith(_RESERVED)


def is_kept(value: object) -> bool:
    """Whether Chroma can look for this value. Raises ValueError for a number that it would change."""
    if isinstance(value, int) and not isinstance(value, bool) and not _SMALLEST <= value <= _LARGEST:
        raise ValueError(f"Chroma keeps whole numbers of 64 bits, not {value}")
    return isinstance(value, bool | int | float) or (isinstance(value, str) and "\0" not in value)


def _part(key: str, value: Any) -> Where | None:
    if key == "$not":
        raise FilterError("Chroma has no $not; say it with $ne or $nin")
    if key == "$and":
        return _all([where_for(part) for part in value])
    if key == "$or":
        return _any([where_for(part) for part in value])
    if not is_key(key):
        return None
    if not isinstance(value, Mapping):
        value = {
            "$in" if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str) else "$eq": value
        }
    return _all({key: {name: _plain(wanted)}} for name, wanted in value.items() if _is_same(name, wanted))


def _is_same(name: str, wanted: Any) -> bool:
    """Whether Chroma finds at least what we find."""
    if name in {"$in", "$nin"}:
        return len({type(each) for each in wanted}) == 1 and all(_is_exact(each) for each in wanted)
    if name in {"$gt", "$gte", "$lt", "$lte"}:
        return _is_exact(wanted) and not isinstance(wanted, str | bool)
    return name in {"$eq", "$ne"} and _is_exact(wanted)


def _is_exact(value: object) -> bool:
    if isinstance(value, str):
        return "\0" not in value
    if isinstance(value, bool):
        return True
    return isinstance(value, int | float) and isfinite(value) and abs(value) <= _EXACT


def _plain(wanted: Any) -> Any:
    return list(wanted) if isinstance(wanted, Sequence | set | frozenset) and not isinstance(wanted, str) else wanted


def _all(parts: Iterable[Where | None]) -> Where | None:
    said = [part for part in parts if part is not None]
    return {"$and": said} if len(said) > 1 else next(iter(said), None)


def _any(parts: Sequence[Where | None]) -> Where | None:
    said = [part for part in parts if part is not None]
    if len(said) < len(parts) or not said:
        return None
    return {"$or": said} if len(said) > 1 else said[0]
