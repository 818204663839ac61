"""Typed answers: what is read out of a model's text, and what is said about an answer that does not fit."""

from __future__ import annotations

import json
from typing import Any, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from agents.core.output import output_for
from loom.errors import OutputValidationError


class Point(BaseModel):
    x: int
    y: int = 0


class Name(BaseModel):
    name: str


@pytest.mark.parametrize(
    "text",
    [
        '{"x": 1}',
        '  {"x": 1}\n',
        '```\n{"x": 1}\n```',
        '```json\n{"x": 1}\n```',
        'Here it is:\n```json\n{"x": 1}\n```\nAnything else?',
        'The point is {"x": 1}, as you asked.',
        'As [1] says: {"x": 1}',
        'In [brackets] and {braces}: {"x": 1}',
        'First ```python\nprint(1)\n``` and then ```json\n{"x": 1}\n```',
    ],
)
def test_json_is_found_in_fences_and_in_prose(text: str) -> None:
    cleaned, value = output_for(Point).read(text)
    assert (cleaned, value) == ('{"x": 1}', Point(x=1))


def test_the_members_of_a_union_are_tried_in_order() -> None:
    for spec in (Point | Name, Union[Point, Name]):  # noqa: UP007  # both spellings are accepted
        assert output_for(spec).read('{"name": "Ann"}')[1] == Name(name="Ann")
        assert output_for(spec).read('{"x": 1, "name": "Ann"}')[1] == Point(x=1)


def test_a_json_schema_gives_plain_json() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert output_for(schema).read('{"n": 1}') == ('{"n": 1}', {"n": 1})
    with pytest.raises(OutputValidationError, match="n: 'a' is not of type 'integer'"):
        output_for(schema).read('{"n": "a"}')


def test_an_answer_that_does_not_fit_says_where_and_why() -> None:
    with pytest.raises(OutputValidationError) as caught:
        output_for(Point).read('{"x": "a", "y": []}')
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("- x: ")
    assert lines[0].endswith("(type=int_parsing)")
    assert [line[:5] for line in lines] == ["- x: ", "- y: "]
    assert (caught.value.raw, caught.value.schema) == ('{"x": "a", "y": []}', Point)
    assert caught.value.cause is not None


@pytest.mark.parametrize(
    "text", ['Here it is: {"x": "a", "y": []}', '```json\n{"x": "a", "y": []}\n```', '{x} {"x": "a", "y": []}']
)
def test_what_is_wrong_with_the_json_is_told_and_not_that_there_is_prose_around_it(text: str) -> None:
    with pytest.raises(OutputValidationError) as caught:
        output_for(Point).read(text)
    with pytest.raises(OutputValidationError) as plain:
        output_for({"type": "object", "properties": {"x": {"type": "integer"}}}).read(text)

    assert [line[:5] for line in str(caught.value).splitlines()] == ["- x: ", "- y: "]
    assert str(plain.value) == "- x: 'a' is not of type 'integer'"


def test_at_most_ten_errors_are_told() -> None:
    class Many(BaseModel):
        numbers: list[int]

    with pytest.raises(OutputValidationError) as caught:
        output_for(Many).read(json.dumps({"numbers": ["a"] * 30}))
    assert len(str(caught.value).splitlines()) == 10


def test_the_feedback_repeats_errors_and_schema() -> None:
    with pytest.raises(OutputValidationError) as caught:
        output_for(Point).read("no")
    said = output_for(Point).feedback(caught.value)
    assert said.startswith("Your previous response failed schema validation:\n- (root): ")
    assert json.dumps(Point.model_json_schema()) in said


def test_the_directive_shows_the_schema() -> None:
    said = output_for(Point).directive()
    assert said.startswith("STRUCTURED OUTPUT REQUIRED")
    assert json.dumps(Point.model_json_schema(), indent=2) in said


@pytest.mark.parametrize("spec", [int, "Point", list[Point], Point | int, Point(x=1)])
def test_anything_else_is_no_schema(spec: Any) -> None:
    with pytest.raises(OutputValidationError, match="an output schema is") as caught:
        output_for(spec)
    assert caught.value.cause is None


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000])
@pytest.mark.parametrize("spec", [Point, {"type": "object"}])
def test_an_answer_that_is_nested_too_deeply_is_refused(text: str, spec: Any) -> None:
    with pytest.raises(OutputValidationError):
        output_for(spec).read(text)


@given(st.text(st.sampled_from('{}[]`"\\:,x1 \n'), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        _, value = output_for(Point).read(text)
    except OutputValidationError:
        return
    assert isinstance(value, Point)
