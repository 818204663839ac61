"""The form that is made of a tool's JSON Schema, and the arguments that come out of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import QueryDict

from governance.views.arguments import ArgumentsForm

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "order": {"type": "string", "description": "as on the invoice"},
        "copies": {"type": "integer", "minimum": 1},
        "amount": {"type": "number"},
        "notify": {"type": "boolean"},
        "currency": {"$ref": "#/$defs/Currency"},
        "on": {"type": "string", "format": "date"},
        "items": {"type": "array", "items": {"type": "string"}},
        "where": {"type": "object"},
        "note": {"anyOf": [{"type": "string", "maxLength": 10}, {"type": "null"}]},
        "level": {"enum": [1, "1", None]},
    },
    "required": ["order", "amount", "notify", "currency", "items"],
    "$defs": {"Currency": {"type": "string", "enum": ["EUR", "USD"]}},
}
ARGS: dict[str, Any] = {
    "order": "A-1", "copies": 2, "amount": 0.1, "notify": False, "currency": "EUR", "on": "2026-11-28",
    "items": ["shoes", "ümlaut"], "where": {"street": "x", "number": 5}, "note": None, "level": "1",
}  # fmt: skip


def _sent(args: dict[str, Any] = ARGS, schema: dict[str, Any] = SCHEMA, **changes: str) -> ArgumentsForm:
    """The form as a browser sends it back, with these fields changed by hand."""
    shown = ArgumentsForm(schema, args)
    post = QueryDict(mutable=True)
    for name, field in shown.fields.items():
        post[name] = str(field.initial)
    post.update({name if name == "others" else f"arg-{name}": value for name, value in changes.items()})
    return ArgumentsForm(schema, args, post)


def test_a_form_that_nobody_touched_gives_back_the_very_same_arguments() -> None:
    form = _sent()

    assert form.is_valid(), form.errors
    assert form.arguments() == ARGS
    assert [type(value) for value in form.arguments().values()] == [
        type(ARGS[name]) for name in form.arguments()
    ]  # fmt: skip


@pytest.mark.parametrize("number", [12345678901234567890, 0.1 + 0.2, 1e-300, -0.0])
def test_numbers_are_given_back_to_the_last_digit(number: float) -> None:
    assert repr(_sent({**ARGS, "amount": number}).fields["arg-amount"].clean(str(number))) == repr(number)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("order", "B-2", "B-2"),
        ("order", "", ""),
        ("copies", "3", 3),
        ("amount", "7", 7),
        ("amount", "7.5", 7.5),
        ("notify", "true", True),
        ("currency", '"USD"', "USD"),
        ("on", "2027-01-01", "2027-01-01"),
        ("items", '["a"]', ["a"]),
        ("where", "{}", {}),
        ("note", "hello", "hello"),
        ("level", "1", 1),
        ("level", "null", None),
    ],
)
def test_what_is_written_gets_the_type_that_the_schema_names(name: str, text: str, value: Any) -> None:
    form = _sent(**{name: text})

    assert form.is_valid(), form.errors
    assert form.arguments() == {**ARGS, name: value}
    assert type(form.arguments()[name]) is type(value)


def test_an_optional_argument_that_is_emptied_is_left_out() -> None:
    form = _sent(copies="", on="", where="")

    assert form.is_valid(), form.errors
    assert form.arguments() == {name: value for name, value in ARGS.items() if name not in ("copies", "on", "where")}


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("amount", "", "required"),
        ("amount", "x", "no number"),
        ("amount", "nan", "no number that JSON has"),
        ("copies", "1.5", "no whole number"),
        ("copies", "0", "less than the minimum"),
        ("notify", "maybe", "none of the choices"),
        ("currency", '"GBP"', "none of the choices"),
        ("items", "[1", "no JSON"),
        ("items", "[1e999]", "cannot be stored"),
        ("items", '["\\u0000"]', "cannot be stored"),
        ("items", '["a", 2]', "1: 2 is not of type 'string'"),
        ("items", "", "required"),
        ("where", "[]", "is not of type 'object'"),
        ("note", "much too long", "not valid under any"),
        ("order", "a\x00b", "cannot be stored"),
    ],
)
def test_what_does_not_fit_is_said_beside_its_field(name: str, text: str, says: str) -> None:
    form = _sent(**{name: text})

    assert not form.is_valid()
    assert list(form.errors) == [f"arg-{name}"]
    assert says in form.errors[f"arg-{name}"][0]


def test_arguments_that_the_schema_does_not_name_stay_and_can_be_edited_as_json() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}

    untouched = _sent({"a": 1, "b": [2]}, schema)
    assert untouched.is_valid()
    assert untouched.arguments() == {"a": 1, "b": [2]}
    form = _sent({"a": 1, "b": [2]}, schema, others='{"c": 3}')
    assert form.is_valid(), form.errors
    assert form.arguments() == {"a": 1, "c": 3}
    assert not _sent({"a": 1, "b": [2]}, schema, others="[]").is_valid()


def test_a_tool_without_a_schema_gets_one_field_for_everything() -> None:
    form = _sent({"x": {"y": 1}}, {}, others='{"x": {"y": 2}}')

    assert form.is_valid(), form.errors
    assert form.arguments() == {"x": {"y": 2}}
    assert list(form.fields) == ["others"]


def test_required_arguments_are_marked_and_come_first() -> None:
    form = ArgumentsForm(SCHEMA, ARGS)

    assert list(form.fields)[:5] == ["arg-order", "arg-amount", "arg-notify", "arg-currency", "arg-items"]
    assert [name for name, field in form.fields.items() if field.is_required] == list(form.fields)[:5]  # type: ignore[attr-defined]
    assert form.fields["arg-order"].help_text == "as on the invoice"


@pytest.mark.parametrize(
    ("below", "says"),
    [
        ({"$ref": "#/nowhere"}, "refers to '/nowhere'"),
        ({"$ref": "http://127.0.0.1:9/schema"}, "refers to 'http://127.0.0.1:9/schema'"),
        ({"type": "text"}, "has the type 'text'"),
    ],
)
def test_a_schema_of_no_use_is_said_and_nothing_is_fetched_for_it(below: dict[str, Any], says: str) -> None:
    form = _sent({"a": "x"}, {"type": "object", "properties": {"a": below}}, a='"y"')

    assert not form.is_valid()
    assert says in form.non_field_errors()[0]
