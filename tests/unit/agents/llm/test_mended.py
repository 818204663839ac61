"""Halves of surrogate pairs, as some servers and models send them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.agent import Agent
from agents.core.llm.mended import mended
from loom.events import Event, EventKind
from loom.messages import Message, ModelChunk, Role, ToolCall

HALVES = "\ud83d", "\ude00"
VALUES = st.recursive(
    st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


class Cutting:
    """Says an emoji in two halves, calls a tool with another one, and ends with half a one."""

    name = "cutting"

    async def stream(self, messages: list[Message], **options: Any) -> AsyncIterator[ModelChunk]:
        if messages[-1].role is not Role.TOOL:
            call = ToolCall(tool="say", args={"lines": ["".join(HALVES), HALVES[1]]})
            yield ModelChunk(kind="tool_call", tool_call=call)
            yield ModelChunk(kind="finish", finish_reason="tool_use")
            return
        for text in ("so ", *HALVES, " ü", HALVES[0]):
            yield ModelChunk(kind="text", text=text)
        yield ModelChunk(kind="finish")


async def test_an_answer_is_whole_for_those_who_keep_watch_and_call() -> None:
    heard: list[str] = []
    shown: list[str] = []

    async def say(lines: list[str]) -> str:
        heard.extend(lines)
        return "said"

    async def watch(event: Event) -> None:
        if event.kind is EventKind.MODEL_CHUNK:
            shown.append(event.payload["chunk"].text or "")
            assert event.model_dump_json()  # whoever sends it on

    result = await Agent("", model=Cutting(), tools=[say]).run("go", emit=watch)

    assert heard == ["😀", "\ufffd"]
    assert result.output == "so 😀 ü\ufffd"
    assert "".join(shown) == "so 😀 ü"


async def test_arguments_that_are_nested_too_deep_to_be_mended_still_reach_their_tool() -> None:
    deep: Any = "ü"
    for _ in range(700):
        deep = [deep]
    heard: list[Any] = []

    async def say(lines: list[Any]) -> str:
        heard.append(lines)
        return "said"

    class Nesting(Cutting):
        async def stream(self, messages: list[Message], **options: Any) -> AsyncIterator[ModelChunk]:
            if messages[-1].role is not Role.TOOL:
                yield ModelChunk(kind="tool_call", tool_call=ToolCall(tool="say", args={"lines": deep}))
            yield ModelChunk(kind="finish")

    await Agent("", model=Nesting(), tools=[say]).run("go")

    assert len(heard) == 1


@pytest.mark.parametrize("name", ["prompt", "user_id", "session_id"])
async def test_a_prompt_or_an_id_with_half_a_pair_is_refused_before_a_model_is_asked(name: str) -> None:
    asked: Any = {"prompt": "go", name: f"a{HALVES[0]}"}
    with pytest.raises(ValueError, match=f"{name} has half a surrogate pair at 1"):
        await Agent("", model="echo").run(**asked)


@given(VALUES)
def test_what_has_no_halves_stays_as_it_is(value: Any) -> None:
    assert mended(value) is value


@given(VALUES)
def test_halves_are_mended_wherever_they_are(value: Any) -> None:
    with_halves = {"".join(HALVES): [value, HALVES[0]], "b": {HALVES[1]: value}}

    assert mended(with_halves) == {"😀": [value, "\ufffd"], "b": {"\ufffd": value}}


def test_a_value_may_be_nested_deeper_than_python_calls() -> None:
    whole: Any = "ü"
    cut: Any = HALVES[0]
    for _ in range(5000):
        whole, cut = [whole], {"a": cut}

    found = mended(cut)
    for _ in range(5000):
        found = found["a"]

    assert mended(whole) is whole
    assert found == "\ufffd"
