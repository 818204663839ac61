"""The filters of searches as conditions on PostgreSQL's JSON, with the same answers as `filters.matches_filter`.

Whatever stands in a filter reaches PostgreSQL as a value of the statement, the names of fields too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite, isnan
from typing import Any

from memory.core.vector_stores.filters import FilterError, has_order, is_list, is_number, read_filter
from memory.core.vector_stores.incoming import Filter

_ORDER = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


def condition(filter: Filter) -> tuple[str, dict[str, Any]]:
    """The condition on the column `metadata`, never NULL, and its values. Raises FilterError as searches do."""
    read_filter(filter)
    writer = _Writer()
    return writer.whole(filter), writer.values


def holds_nul(value: Any) -> bool:
    """Whether a text within a value holds a NUL character: PostgreSQL keeps no such text."""
    if isinstance(value, Mapping):
        return any(map(holds_nul, (*value, *value.values())))
    return any(map(holds_nul, value)) if isinstance(value, list | tuple) else isinstance(value, str) and "\0" in value


class _Writer:
    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def whole(self, filter: Filter) -> str:
        return _all(self._part(key, value) for key, value in (filter or {}).items())

    def _part(self, key: str, value: Any) -> str:
        if key == "$and":
            return _all(map(self.whole, value))
        if key == "$or":
            return _any(map(self.whole, value))
        if key == "$not":
            return f"NOT {self.whole(value)}"
        asked = value if isinstance(value, Mapping) else {"$in" if is_list(value) else "$eq": value}
        return _all(self._operator(key, name, wanted) for name, wanted in asked.items())

    def _operator(self, field: str, name: str, wanted: Any) -> str:
        if holds_nul([field, wanted]):
            raise FilterError(f"the filter of {field!r} holds a NUL character: no text that PostgreSQL keeps does")
        if name == "$exists":
            there = f"metadata ? {self._text(field)}"
            return f"({there})" if wanted else f"NOT ({there})"
        if name in {"$in", "$nin"}:
            there = _any(self._same(field, each) for each in wanted)
            return there if name == "$in" else f"NOT {there}"
        if name in {"$eq", "$ne"}:
            return self._same(field, wanted) if name == "$eq" else f"NOT {self._same(field, wanted)}"
        return self._compare(field, _ORDER[name], wanted)

    def _same(self, field: str, wanted: Any) -> str:
        if isinstance(wanted, float) and not isfinite(wanted):
            return "FALSE"  # JSON has no such number
        value, pair = self._json(field, wanted), self._json(field, {field: wanted})
        # The first half is for the index, the second for what contains more than it was asked for.
        return f"(metadata @> {pair} AND metadata -> {self._text(field)} = {value})"

    def _compare(self, field: str, sign: str, wanted: Any) -> str:
        if not has_order(wanted) or (isinstance(wanted, float) and isnan(wanted)):
            return "FALSE"
        found = f"metadata -> {self._text(field)}"
        if isinstance(wanted, bool):
            kind, compared = "boolean", f"({found})::boolean {sign} {self._value(wanted)}::boolean"
        elif is_number(wanted):
            kind, compared = "number", f"({found})::numeric {sign} {self._value(str(wanted))}::numeric"
        elif isinstance(wanted, str):
            # By code points, as Python does.
            kind, compared = "string", f"({found} #>> '{{}}') COLLATE \"C\" {sign} {self._text(wanted)}"
        else:
            raise _not_json(field, wanted)
        return f"(CASE jsonb_typeof({found}) WHEN '{kind}' THEN {compared} ELSE FALSE END)"

    def _json(self, field: str, wanted: Any) -> str:
        try:
            written = json.dumps(wanted, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise _not_json(field, wanted) from error
        return f"{self._value(written)}::jsonb"

    def _text(self, text: str) -> str:
        return f"{self._value(text)}::text"

    def _value(self, value: Any) -> str:
        name = f"filter_{len(self.values)}"
        self.values[name] = value
        return f"%({name})s"


def _all(parts: Any) -> str:
    return f"({' AND '.join(parts) or 'TRUE'})"


def _any(parts: Any) -> str:
    return f"({' OR '.join(parts) or 'FALSE'})"


def _not_json(field: str, wanted: Any) -> FilterError:
    return FilterError(
        f"the field {field!r} cannot be compared with {wanted!r}: what PostgreSQL keeps of it is JSON; "
        "give a text, a number, a truth value, None, or a list or mapping of them"
    )
