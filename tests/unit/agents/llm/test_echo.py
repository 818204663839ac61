import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.llm.base import Model
from agents.core.llm.echo import EchoModel
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
