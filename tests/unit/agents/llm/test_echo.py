from __future__ import annotations

from typing import Any, Literal

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from agents.core.agent import Agent
from agents.core.llm.base import Model
from agents.core.llm.echo import EchoModel, FittingEcho
from agents.core.llm.least import least_that_fits
from agents.core.llm.pieces import words
from loom.messages import Message, Role

TALK = [
    Message(role=Role.SYSTEM, content="Be kind."),
    Message(role=Role.USER, content="first"),
    Message(role=Role.ASSISTANT, content="yes"),
    Message(role=Role.USER, content="  two\n words "),
    Message(role=Role.TOOL, content="ignored", tool_call_id="c1"),
]


async def test_it_answers_with_the_last_thing_the_user_said() -> None:
    text, calls, usage, finish = await EchoModel().complete(TALK)

    assert (text, calls, finish) == ("Echo:   two\n words ", [], "stop")
    assert (usage.input_tokens, usage.output_tokens, usage.cost_usd) == (7, 3, 0.0)


async def test_the_streamed_words_joined_are_the_completed_text() -> None:
    model = EchoModel(prefix="> ", cost_per_token=0.5)

    chunks = [chunk async for chunk in model.stream(TALK)]

    text, _, usage, _ = await model.complete(TALK)
    assert "".join(chunk.text or "" for chunk in chunks) == text
    assert [chunk.kind for chunk in chunks] == ["text"] * (len(chunks) - 1) + ["finish"]
    assert chunks[-1].usage == usage
    assert usage.cost_usd == 5.0


async def test_nobody_having_spoken_it_says_its_prefix() -> None:
    text, *_ = await EchoModel().complete([])

    assert text == "Echo: "


@pytest.mark.parametrize("text", ["", " ", "a", " a  b\n", "\n\n"])
def test_words_joined_are_the_text(text: str) -> None:
    assert "".join(words(text)) == text


@given(st.text())
def test_words_joined_are_any_text(text: str) -> None:
    assert "".join(words(text)) == text


def test_it_is_a_model() -> None:
    assert isinstance(EchoModel(), Model)


class Place(BaseModel):
    street: str


class Person(BaseModel):
    name: str = Field(max_length=5)
    age: int = Field(gt=17)
    mood: Literal["calm", "cross"]
    friends: list[Person] = Field(min_length=0)
    boss: Person | None
    address: dict[str, str]
    nickname: str = "Bo"
    seen: tuple[bool, float]
    tags: list[str] = Field(min_length=2)


async def test_a_fitting_echo_says_the_least_that_fits_with_what_it_heard() -> None:
    text, *_ = await FittingEcho().complete(TALK, output_schema=Person)

    assert Person.model_validate_json(text).model_dump() == {
        "name": "  two",
        "age": 18,
        "mood": "calm",
        "friends": [],
        "boss": None,
        "address": {},
        "nickname": "Bo",
        "seen": (False, 0.0),
        "tags": ["  two\n words ", "  two\n words "],
    }


async def test_a_fitting_echo_without_a_shape_is_an_echo() -> None:
    assert await FittingEcho().complete(TALK) == await EchoModel().complete(TALK)


async def test_an_agent_with_a_typed_output_runs_on_a_fitting_echo() -> None:
    result = await Agent("Sort.", model=FittingEcho(), output_schema=Person | Place).run("Ada")

    assert result.parsed.name == "Ada"


_counts = st.integers(0, 3)
_schemas = st.recursive(
    st.one_of(
        st.builds(lambda low, more: {"type": "string", "minLength": low, "maxLength": low + more}, _counts, _counts),
        st.builds(lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more}, _counts, _counts),
        st.builds(lambda high: {"type": "number", "exclusiveMaximum": high}, st.integers(-5, 5)),
        st.sampled_from([{"type": "boolean"}, {"type": ["null", "string"]}, {"enum": ["b", 1]}, {"const": [1]}]),
    ),
    lambda inner: st.one_of(
        st.builds(
            lambda parts, required: {"type": "object", "properties": parts, "required": sorted(parts)[:required]},
            st.dictionaries(st.sampled_from("abc"), inner),
            _counts,
        ),
        st.builds(lambda item, low: {"type": "array", "items": item, "minItems": low}, inner, _counts),
        st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=8,
)


@given(_schemas)
async def test_the_least_of_any_schema_fits_it(schema: dict[str, Any]) -> None:
    jsonschema.validate(least_that_fits(schema, "abc"), schema)
