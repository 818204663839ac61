import json
import re
from datetime import date, datetime
from typing import Any, Optional

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from agents.core.llm.grammar import bounded, grammar
from loom.errors import InvalidRequestError


class Tree(BaseModel):
    value: int
    children: list["Tree"] = []


class Chain(BaseModel):
    next: Optional["Chain"] = None


class Endless(BaseModel):
    again: "Endless"


def finite(of: Any, *, characters: int = 3000, fill: bool = True) -> dict[str, Any]:
    schema = of if isinstance(of, dict) else TypeAdapter(of).json_schema()
    return bounded(schema, characters=characters, fill=fill)


def test_every_text_and_every_list_has_an_end() -> None:
    schema = finite(list[list[str]])

    assert schema["maxItems"] == schema["items"]["maxItems"] <= 8
    assert schema["items"]["items"]["maxLength"] <= 200


def test_a_schema_that_could_grow_large_is_bounded_more_tightly() -> None:
    loose, tight = finite(list[str], characters=10_000), finite(list[str], characters=200)

    assert (tight["maxItems"], tight["items"]["maxLength"]) < (loose["maxItems"], loose["items"]["maxLength"])


def test_own_limits_hold_where_they_are_stricter_and_minimums_always() -> None:
    assert finite({"type": "string", "maxLength": 7})["maxLength"] == 7
    assert finite({"type": "string", "minLength": 500})["maxLength"] == 500
    assert finite({"type": "array", "items": {"type": "null"}, "minItems": 20})["maxItems"] == 20


def test_a_tree_ends() -> None:
    schema, depth = finite(Tree), 0

    while schema["properties"]["children"].get("maxItems"):
        schema, depth = schema["properties"]["children"]["items"], depth + 1

    assert "$ref" not in json.dumps(schema)
    assert 1 <= depth <= 3


def test_an_optional_part_that_never_ends_becomes_null() -> None:
    text = json.dumps(finite(Chain))

    assert '{"type": "null"}' in text
    assert "$ref" not in text


def test_a_schema_that_only_contains_itself_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="no finite value"):
        finite(Endless)


def test_a_reference_into_nowhere_is_named() -> None:
    with pytest.raises(InvalidRequestError, match="#/elsewhere"):
        finite({"$ref": "#/elsewhere"})


def test_optional_properties_of_an_answer_are_filled_in_those_of_a_tool_are_not() -> None:
    assert finite(Tree)["required"] == ["value", "children"]
    assert finite(Tree, fill=False)["required"] == ["value"]


def test_a_share_is_one_of_its_hundredths() -> None:
    class Score(BaseModel):
        value: float = Field(gt=0, le=1)

    values = finite(Score)["properties"]["value"]["enum"]

    assert (values[0], values[-1], len(values)) == (0.01, 1, 100)


def test_the_31st_of_february_cannot_be_written() -> None:
    pattern = finite(date)["pattern"]

    days = [f"2024-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 32)]
    writable = [day for day in days if re.search(pattern, day)]
    assert len(writable) == 365
    for day in writable:
        date.fromisoformat(day)
    assert re.search(finite(datetime)["pattern"], "2024-12-31T23:59:59Z")


def test_a_pattern_that_looks_ahead_loses_to_the_other_choices() -> None:
    schema = finite({"anyOf": [{"type": "string", "pattern": "^(?!x)a$"}, {"type": "integer"}]})

    assert schema["type"] == "integer"
    assert "pattern" not in finite({"type": "string", "pattern": "^(?!x)a$"})


def test_keys_of_a_mapping_are_short_and_few() -> None:
    schema = finite(dict[str, int])

    assert schema["maxProperties"] <= 8
    (pattern,) = schema["patternProperties"]
    assert re.search(pattern, "some key")
    assert not re.search(pattern, "k" * 100)


def test_parts_of_an_all_of_are_joined() -> None:
    part = {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]}

    schema = finite({"allOf": [part, {"properties": {"b": {"type": "boolean"}}}]})

    assert list(schema["properties"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("schema", "kinds"),
    [
        ({}, {"string", "number", "boolean", "null"}),
        ({"type": ["integer", "null"]}, {"integer", "null"}),
        ({"oneOf": [{"type": "boolean"}, {"items": {}}]}, {"boolean", "array"}),
    ],
)
def test_several_types_are_several_choices(schema: dict[str, Any], kinds: set[str]) -> None:
    assert {one["type"] for one in finite(schema)["anyOf"]} == kinds


def test_exclusive_bounds_of_whole_numbers_become_inclusive_ones() -> None:
    schema = finite({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 5, "multipleOf": 2})

    assert (schema["minimum"], schema["maximum"], schema["multipleOf"]) == (1, 4, 2)


def test_a_grammar_leaves_no_room_for_white_space() -> None:
    assert '"whitespace_flexible": false' in grammar(finite(int))
