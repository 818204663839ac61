"""The filters of searches, in the manner of MongoDB.

`{"field": 1}` asks for equality, `{"field": [1, 2]}` for one of several. About a field also `$eq $ne $gt $gte $lt $lte
$in $nin $exists` ask, and `$and $or $not` combine filters. A missing field fits only `$ne`, `$nin` and false `$exists`.
Values of different types are never equal, also within lists and mappings, and none is the greater. Lists, mappings and
None have no order.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from loom.errors import ConfigError

Test = Callable[[Mapping[str, Any]], bool]


class FilterError(ConfigError, ValueError):
    """The filter of a search cannot be read."""


def matches_filter(metadata: Mapping[str, Any], filter: Mapping[str, Any] | None) -> bool:
    """Whether metadata fits a filter. Raises FilterError for one that cannot be read."""
    return read_filter(filter)(metadata)


def read_filter(filter: Mapping[str, Any] | None) -> Test:
    """The filter as a question to metadata, read once for many. Raises FilterError for one that cannot be read."""
    if filter is None:
        return lambda metadata: True
    if not isinstance(filter, Mapping):
        raise FilterError(f"a filter is a mapping, not {filter!r}")
    tests = [_read_part(key, value) for key, value in filter.items()]
    return lambda metadata: all(test(metadata) for test in tests)


class _Missing:
    pass


_MISSING: Final = _Missing()


def _read_part(key: str, value: Any) -> Test:
    if key in {"$and", "$or"}:
        tests = [read_filter(part) for part in _several(key, value)]
        combine = all if key == "$and" else any
        return lambda metadata: combine(test(metadata) for test in tests)
    if key == "$not":
        test = read_filter(value)
        return lambda metadata: not test(metadata)
    if str(key).startswith("$"):
        raise FilterError(f"no operator {key!r} for whole filters; one of $and, $or, $not")
    return _read_field(key, value)


def _read_field(field: str, value: Any) -> Test:
    if not isinstance(value, Mapping):
        value = {"$in" if is_list(value) else "$eq": value}
    tests = [_read_operator(field, name, wanted) for name, wanted in value.items()]
    return lambda metadata: all(test(metadata.get(field, _MISSING)) for test in tests)


def _read_operator(field: str, name: str, wanted: Any) -> Callable[[Any], bool]:
    if name in {"$in", "$nin"}:
        several = _several(name, wanted)
        is_in = name == "$in"
        return lambda value: any(_same(value, each) for each in several) is is_in
    if name == "$exists":
        return lambda value: (value is not _MISSING) is bool(wanted)
    if name in {"$eq", "$ne"}:
        is_equal = name == "$eq"
        return lambda value: _same(value, wanted) is is_equal
    if name not in _COMPARE:
        raise FilterError(f"no operator {name!r} for the field {field!r}; one of {', '.join(_OPERATORS)}")
    if not has_order(wanted):
        return lambda value: False
    compare = _COMPARE[name]
    return lambda value: _comparable(value, wanted) and bool(compare(value, wanted))


_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_OPERATORS = ("$eq", "$ne", "$in", "$nin", "$exists", *_COMPARE)


def _same(value: Any, wanted: Any) -> bool:
    if not _comparable(value, wanted):
        return False
    if isinstance(wanted, list | tuple):
        return len(value) == len(wanted) and all(map(_same, value, wanted))
    if isinstance(wanted, dict):
        return value.keys() == wanted.keys() and all(_same(value[key], each) for key, each in wanted.items())
    return bool(value == wanted)


def _comparable(value: Any, wanted: Any) -> bool:
    """Numbers compare with numbers, everything else with its own type; a truth value is no number."""
    if is_number(value) and is_number(wanted):
        return True
    return type(value) is type(wanted)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_list(value: Any) -> bool:
    return isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes)


def has_order(value: Any) -> bool:
    return value is not None and not isinstance(value, Mapping) and not is_list(value)


def _several(name: str, value: Any) -> list[Any]:
    if not is_list(value):
        raise FilterError(f"{name} wants a list, not {value!r}")
    return list(value)
