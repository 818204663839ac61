import pytest

from agents.core.llm.base import Model
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from loom.messages import Message, Role, ToolCall, Usage

ASK = [Message(role=Role.USER, content="hello")]
CALL = ToolCall(id="c1", tool="search", args={"q": "x"})


async def test_turns_are_played_in_order_and_past_the_end_it_says_nothing() -> None:
    model = ScriptedModel([ScriptedTurn(text="one"), ScriptedTurn(tool_calls=[CALL], usage=Usage(input_tokens=3))])

    assert model.remaining == 2
    assert await model.complete(ASK) == ("one", [], Usage(), "stop")
    assert await model.complete(ASK) == ("", [CALL], Usage(input_tokens=3), "tool_use")
    assert await model.complete(ASK) == ("", [], Usage(), "stop")
    assert model.remaining == 0


async def test_a_stream_has_the_words_then_the_calls_then_the_finish() -> None:
    model = ScriptedModel([ScriptedTurn(text="let me  look", tool_calls=[CALL])])

    chunks = [chunk async for chunk in model.stream(ASK)]

    assert [chunk.kind for chunk in chunks] == ["text", "text", "text", "tool_call", "finish"]
    assert "".join(chunk.text or "" for chunk in chunks) == "let me  look"
    assert chunks[3].tool_call == CALL
    assert (chunks[4].finish_reason, chunks[4].usage) == ("tool_use", Usage())


async def test_a_turn_may_be_a_function_of_what_it_was_asked() -> None:
    async def later(messages: list[Message]) -> ScriptedTurn:
        return ScriptedTurn(text=f"async {messages[-1].content}")

    model = ScriptedModel([lambda messages: ScriptedTurn(text=messages[-1].content.upper()), later])

    assert (await model.complete(ASK))[0] == "HELLO"
    assert (await model.complete(ASK))[0] == "async hello"


async def test_a_turn_that_raises_is_spent() -> None:
    def fail(messages: list[Message]) -> ScriptedTurn:
        raise RuntimeError("down")

    model = ScriptedModel([fail, ScriptedTurn(text="up")])

    with pytest.raises(RuntimeError, match="down"):
        await model.complete(ASK)

    assert (await model.complete(ASK))[0] == "up"


async def test_changing_the_list_afterwards_does_not_change_the_script() -> None:
    turns = [ScriptedTurn(text="one")]
    model = ScriptedModel(turns)

    turns.append(ScriptedTurn(text="two"))

    assert model.remaining == 1


def test_it_is_a_model() -> None:
    assert isinstance(ScriptedModel([]), Model)
