"""Counting tokens without asking anybody."""

from __future__ import annotations

import pytest

from agents.core.llm.sizes import Size, listed_size, size_of
from agents.core.llm.tokens import Tally, estimate_tokens, tokens_of, tokens_of_tools
from loom.messages import Image, Message, Role, ToolCall, ToolDef


def said(text: str, role: Role = Role.USER) -> Message:
    return Message(role=role, content=text)


# The true counts are o200k's and cl100k's, whichever is more.
@pytest.mark.parametrize(
    ("text", "true"),
    [
        ("The quick brown fox jumps over the lazy dog.", 10),
        ('{"id": 7, "name": "ann", "active": true}', 17),
        ("人工智能正在改变世界", 11),
        ("Der Straßenbahnschaffner grüßte freundlich", 14),
        ("3.14159265358979", 7),
    ],
)
def test_the_estimate_is_not_less_than_the_truth_and_not_four_times_as_much(text: str, true: int) -> None:
    assert true <= estimate_tokens(text) <= 4 * true


def test_every_word_counts_however_short_it_is() -> None:
    assert estimate_tokens("a b c d e f g h") >= 7


def test_indented_code_does_not_count_every_space() -> None:
    assert estimate_tokens(" " * 400 + "x") < 150


def test_a_text_that_is_no_unicode_is_counted() -> None:
    assert estimate_tokens("\ud800") > 0


def test_calls_and_pictures_of_a_message_count() -> None:
    plain = said("look", Role.ASSISTANT)
    calling = plain.model_copy(update={"tool_calls": (ToolCall(tool="search", args={"q": "x" * 300}),)})
    seeing = plain.model_copy(update={"images": (Image(data=""),)})

    assert tokens_of(calling) > tokens_of(plain) + 100
    assert tokens_of(seeing) > tokens_of(plain) + 1000


def test_the_schema_of_a_tool_counts() -> None:
    tool = ToolDef(name="search", description="Search.", input_schema={"properties": {"q": {"type": "string"}}})

    assert tokens_of_tools([tool]) > estimate_tokens("Search.") + 10


def test_a_tally_counts_each_message_of_a_growing_conversation_once() -> None:
    counted: list[str] = []

    def count(text: str) -> int:
        counted.append(text)
        return 1

    tally, messages = Tally(count), [said("one"), said("two")]
    first = tally.of(messages)
    messages.append(said("three"))
    second = tally.of(messages)

    assert counted == ["one", "two", "three"]
    assert second > first


def test_a_tally_begins_again_when_the_conversation_is_another_one() -> None:
    tally = Tally()
    last = said("word")
    long, short, other = [said("word " * 100), last], [last], [said("other"), last]

    assert tally.of(long) > 50
    assert tally.of(short) == tokens_of(last)
    assert tally.of(long) > 50
    assert tally.of(other) == tokens_of(other[0]) + tokens_of(last)
    other[:] = [said("something else"), said("entirely")]
    assert tally.of(other) == tokens_of(other[0]) + tokens_of(other[1])


def test_a_dated_name_has_the_size_of_its_model() -> None:
    assert listed_size("gpt-4o-2031-01-31") == listed_size("gpt-4o") == Size(128_000, 16_384)
    assert listed_size("nobody-knows-me") == Size(None, None)


class Small:
    name = "gpt-4o"
    max_input_tokens = 1_000
    max_tokens = 50


class Unknown:
    name = "nobody-knows-me"


class Around:
    name = "around"

    def __init__(self, *models: object) -> None:
        self.models = models


class Again:
    name = "again"

    def __init__(self, inner: object) -> None:
        self.inner = inner


def test_what_a_model_says_of_its_size_wins_over_the_list() -> None:
    assert size_of(Small()) == Size(1_000, 50)


def test_a_model_around_others_is_as_large_as_the_smallest_that_is_known() -> None:
    assert size_of(Again(Around(Unknown(), Small()))) == Size(1_000, 50)
    assert size_of(Around(Unknown())) == Size(None, None)
