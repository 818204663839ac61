"""OpenAI's adapter, through the real SDK, against a server on loopback."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from agents.core.llm.base import Completion, Model
from agents.core.llm.effort import EffortNotSupportedError
from agents.core.llm.openai import OpenAIModel
from agents.core.llm.schemas import strict_schema
from loom.errors import (
    AuthenticationError,
    ContentFilterError,
    InvalidRequestError,
    ModelError,
    PermanentModelError,
    RateLimitError,
    TransientModelError,
)
from loom.messages import Image, Message, PromptCacheConfig, Role, ToolCall, ToolDef
from tests.fake_openai import Fails, FakeOpenAI, Raw, Says, events

ASK = [Message(role=Role.SYSTEM, content="Be kind."), Message(role=Role.USER, content="hello")]
SEARCH = ToolDef(
    name="files.search", description="Search.", input_schema={"type": "object", "properties": {"q": {"type": "string"}}}
)


class Weather(BaseModel):
    city: str
    sky: Literal["clear", "cloudy"]
    wind: float | None = None


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


@pytest.fixture
def model(fake: FakeOpenAI) -> OpenAIModel:
    return OpenAIModel("gpt-4o", api_key="test", base_url=fake.url)


async def streamed(model: OpenAIModel, messages: list[Message] | None = None, **options: Any) -> Completion:
    chunks = [chunk async for chunk in model.stream(messages or ASK, **options)]
    assert [chunk.kind for chunk in chunks].index("finish") == len(chunks) - 1
    text = "".join(chunk.text or "" for chunk in chunks)
    calls = [chunk.tool_call for chunk in chunks if chunk.tool_call]
    assert chunks[-1].usage is not None
    return text, calls, chunks[-1].usage, chunks[-1].finish_reason or ""


async def test_a_streamed_answer_is_the_whole_answer(fake: FakeOpenAI, model: OpenAIModel) -> None:
    fake.play(Says("Hello, Wörld 👋", calls=(("c1", "search", {"q": "é"}), ("c2", "search", {"q": "b"}))))

    whole, pieces = await model.complete(ASK), await streamed(model)

    assert whole == pieces
    text, calls, usage, finish = whole
    assert (text, finish) == ("Hello, Wörld 👋", "tool_use")
    assert [(call.id, call.tool, call.args) for call in calls] == [
        ("c1", "search", {"q": "é"}),
        ("c2", "search", {"q": "b"}),
    ]
    assert (usage.input_tokens, usage.output_tokens) == (12, 5)
    assert usage.cost_usd > 0
    assert len(fake.requests) == 2


ANSWER = Says("Grüße 👋 und mehr", calls=(("c1", "a", {"x": [1, "ü  ö"]}), ("c2", "b", {})))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, len(events(ANSWER)) - 1), max_size=12, unique=True), st.integers(1, 9))
async def test_any_cutting_of_the_stream_gives_the_same_message(
    fake: FakeOpenAI, cuts: list[int], fragment: int
) -> None:
    fake.play(replace(ANSWER, cuts=tuple(cuts), fragment=fragment, piece_delay_seconds=0.001))

    text, calls, usage, finish = await streamed(OpenAIModel("gpt-4o", api_key="test", base_url=fake.url))

    assert (text, finish, usage.output_tokens) == ("Grüße 👋 und mehr", "tool_use", 5)
    assert [(call.id, call.tool, call.args) for call in calls] == [("c1", "a", {"x": [1, "ü  ö"]}), ("c2", "b", {})]


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_failure_costs_exactly_one_request(fake: FakeOpenAI, model: OpenAIModel, status: int) -> None:
    fake.play(Fails(status, headers={"retry-after": "7"}))

    with pytest.raises(TransientModelError) as failed:
        await model.complete(ASK)
    assert len(fake.requests) == 1

    with pytest.raises(TransientModelError):
        await streamed(model)
    assert len(fake.requests) == 2
    assert failed.value.retry_after == 7
    assert isinstance(failed.value, RateLimitError) == (status == 429)


async def test_a_client_that_is_passed_in_does_not_repeat_either(fake: FakeOpenAI) -> None:
    from openai import AsyncOpenAI

    fake.play(Fails(500))
    async with AsyncOpenAI(api_key="test", base_url=fake.url, max_retries=5) as client:
        with pytest.raises(TransientModelError):
            await OpenAIModel("gpt-4o", client=client).complete(ASK)

    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Fails(400, "invalid_request_error"), InvalidRequestError),
        (Fails(401, "invalid_request_error", "invalid_api_key"), AuthenticationError),
        (Fails(400, "invalid_request_error", "content_filter"), ContentFilterError),
        (Says("", refusal="I can't."), ContentFilterError),
        (Says("half", finish="content_filter"), ContentFilterError),
    ],
)
async def test_a_refusal_is_permanent(
    fake: FakeOpenAI, model: OpenAIModel, reply: Any, error: type[ModelError]
) -> None:
    fake.play(reply)

    with pytest.raises(error) as whole:
        await model.complete(ASK)
    with pytest.raises(error):
        await streamed(model)

    assert not whole.value.retryable


@pytest.mark.parametrize(
    "reply",
    [
        Says("a long answer that never arrives whole", broken_at=500),
        Raw((events(Says("half"))[:350],)),
        Raw((b'data: {"choices": [{"delta": {"content": "a"}}\n\n',)),
        Raw((b'data: {"error": {"message": "overloaded", "type": "server_error"}}\n\n',)),
        Raw((b"data: [DONE]\n\n",)),
        Raw((b"data: 42\n\n", b"data: [DONE]\n\n")),
    ],
    ids=["cut connection", "early end", "malformed chunk", "error in the stream", "nothing", "no object"],
)
async def test_a_broken_stream_is_one_transient_error(fake: FakeOpenAI, model: OpenAIModel, reply: Any) -> None:
    fake.play(reply)

    with pytest.raises(TransientModelError):
        await streamed(model)

    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    "reply",
    [
        Raw((b"<html>gateway</html>",), "text/html"),
        Raw((b'{"choices": []}',), "application/json"),
        Raw((b'{"choi',), "application/json"),
        Says("whole", broken_at=20),
    ],
    ids=["not JSON", "no choice", "half of it", "cut connection"],
)
async def test_a_broken_answer_is_one_transient_error(fake: FakeOpenAI, model: OpenAIModel, reply: Any) -> None:
    fake.play(reply)

    with pytest.raises(TransientModelError):
        await model.complete(ASK)

    assert len(fake.requests) == 1


@pytest.mark.parametrize("arguments", ['{"q": "half', "[1]", '"text"', "{q: 1}"])
async def test_a_call_whose_arguments_are_no_object_is_an_error_and_never_made(
    fake: FakeOpenAI, model: OpenAIModel, arguments: str
) -> None:
    fake.play(Says("Looking", calls=(("c1", "search", arguments),)))

    with pytest.raises(TransientModelError, match="'search' with arguments that are no JSON object"):
        await model.complete(ASK)
    stream = model.stream(ASK)

    assert (await anext(stream)).text == "Looking"
    with pytest.raises(TransientModelError):
        await anext(stream)


async def test_a_call_that_max_tokens_cut_off_says_so(fake: FakeOpenAI, model: OpenAIModel) -> None:
    fake.play(Says(calls=(("c1", "search", '{"q": "ha'),), finish="length"))

    with pytest.raises(PermanentModelError, match="max_tokens=9"):
        await model.complete(ASK, max_tokens=9)


async def test_a_call_without_arguments_has_none(fake: FakeOpenAI, model: OpenAIModel) -> None:
    fake.play(Says(calls=(("", "now", ""),)))

    _, calls, _, _ = await streamed(model)

    assert [(call.tool, call.args) for call in calls] == [("now", {})]
    assert calls[0].id.startswith("tc_")


def piece(*calls: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"tool_calls": list(calls)}, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "1", "choices": [choice]}).encode() + b"\n\n"


def part(name: str | None, arguments: str, **marks: Any) -> dict[str, Any]:
    return {**marks, "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    "pieces",
    [
        [[part("now", '{"q": 1}', index=0, id="a")], [part("now", '{"q": 2}', index=0, id="b")]],
        [[part("now", '{"q": 1}', id="a"), part("now", '{"q": 2}', id="b")]],
        [[part("now", '{"q":', id="a")], [part(None, " 1}")], [part("now", '{"q": 2}', id="b")]],
        [[part("now", '{"q": 1}')], [part("now", '{"q": 2}')]],
        [[part("now", '{"q":', index=0, id="a")], [part("now", " 1}", index=0)], [part("now", '{"q": 2}', index=1)]],
    ],
    ids=["one index for all", "no index", "no index, in parts", "no index and no id", "the name again and again"],
)
async def test_calls_are_told_apart_though_the_server_does_not_number_them(
    fake: FakeOpenAI, model: OpenAIModel, pieces: list[list[dict[str, Any]]]
) -> None:
    fake.play(Raw((*[piece(*parts) for parts in pieces], piece(finish="tool_calls"), b"data: [DONE]\n\n")))

    _, calls, _, _ = await streamed(model)

    assert [(call.tool, call.args) for call in calls] == [("now", {"q": 1}), ("now", {"q": 2})]


async def test_two_calls_of_a_whole_answer_are_two_though_they_have_one_id(
    fake: FakeOpenAI, model: OpenAIModel
) -> None:
    fake.play(Says(calls=(("c1", "now", {"q": 1}), ("c1", "now", {"q": 2}))))

    _, calls, _, _ = await model.complete(ASK)

    assert [call.args for call in calls] == [{"q": 1}, {"q": 2}]


async def test_arguments_that_are_nested_without_end_are_an_answer_that_cannot_be_read(
    fake: FakeOpenAI, model: OpenAIModel
) -> None:
    fake.play(Says(calls=(("c1", "now", '{"q":' + "[" * 100_000),), fragment=50_000))

    with pytest.raises(TransientModelError, match="cannot be read"):
        await model.complete(ASK)
    with pytest.raises(TransientModelError, match="cannot be read"):
        await streamed(model)


async def test_a_second_finish_is_ignored_but_its_usage_counts(fake: FakeOpenAI, model: OpenAIModel) -> None:
    first, again = events(Says("one", usage=None)), events(Says(" two"))
    fake.play(Raw((first.replace(b"data: [DONE]\n\n", b""), again)))

    text, _, usage, finish = await streamed(model)

    assert (text, finish, usage.output_tokens) == ("one", "stop", 5)


async def test_cached_tokens_are_counted_once(fake: FakeOpenAI, model: OpenAIModel) -> None:
    details = {"cached_tokens": 60, "cache_write_tokens": 30}
    counted = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105, "prompt_tokens_details": details}
    fake.play(Says("x", usage=counted))

    for _, _, usage, _ in (await model.complete(ASK), await streamed(model)):
        assert (usage.input_tokens, usage.cached_input_tokens, usage.cache_write_tokens) == (10, 60, 30)


async def test_an_unknown_price_and_missing_counts_are_not_free(fake: FakeOpenAI, model: OpenAIModel) -> None:
    fake.play(Says("x", usage=None))
    _, _, uncounted, _ = await streamed(model)
    fake.play(Says("x"))
    _, _, unknown, _ = await OpenAIModel("my-own-model", api_key="test", base_url=fake.url).complete(ASK)

    assert uncounted.unpriced
    assert unknown.unpriced
    assert unknown.cost_usd == 0


async def test_the_conversation_goes_over_the_wire_as_the_api_wants_it(fake: FakeOpenAI, model: OpenAIModel) -> None:
    call = ToolCall(id="c1", tool="files.search", args={"q": "ü"})
    talk = [
        Message(role=Role.USER, content="see", images=(Image(data="aGk="), Image(url="https://x.org/a.png"))),
        Message(role=Role.ASSISTANT, content="", tool_calls=(call,)),
        Message(
            role=Role.TOOL, content="found", tool_call_id="c1", images=(Image(data="Yg==", media_type="image/gif"),)
        ),
        Message(role=Role.ASSISTANT, content="done"),
    ]
    fake.play(Says("", calls=(("c2", fake_name := "files_search_", {}),)), Says("x"))

    await model.complete(talk, tools=[SEARCH], temperature=0.5, max_tokens=7)

    (asked,) = fake.asked
    name = asked["tools"][0]["function"]["name"]
    assert name.startswith(fake_name)
    assert [turn["role"] for turn in asked["messages"]] == ["user", "assistant", "tool", "user", "assistant"]
    assert asked["messages"][0]["content"] == [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        {"type": "image_url", "image_url": {"url": "https://x.org/a.png"}},
    ]
    assert asked["messages"][1]["tool_calls"][0]["function"] == {"name": name, "arguments": '{"q": "ü"}'}
    assert asked["messages"][2] == {"role": "tool", "tool_call_id": "c1", "content": "found"}
    assert asked["messages"][3]["content"][0]["image_url"]["url"] == "data:image/gif;base64,Yg=="
    assert (asked["temperature"], asked["max_tokens"]) == (0.5, 7)
    assert "stream" not in asked

    fake.play(Says(calls=(("c2", name, {}),)))
    _, calls, _, _ = await model.complete(talk, tools=[SEARCH])
    assert calls[0].tool == "files.search"


async def test_reasoning_models_get_their_effort_and_no_temperature(fake: FakeOpenAI) -> None:
    fake.play(Says("x"))

    for name, effort in [("o3", "minimal"), ("gpt-5-mini", "minimal"), ("gpt-5", "max"), ("o4-mini", "medium")]:
        thinker = OpenAIModel(name, api_key="test", base_url=fake.url)
        await thinker.complete(ASK, effort=effort, temperature=0.2, max_tokens=100)

    assert [asked["reasoning_effort"] for asked in fake.asked] == ["low", "minimal", "high", "medium"]
    assert all("temperature" not in asked for asked in fake.asked)
    assert all(asked["max_completion_tokens"] == 100 for asked in fake.asked)


async def test_effort_is_dropped_with_one_warning_or_refused_when_strict(fake: FakeOpenAI) -> None:
    fake.play(Says("x"))
    plain = OpenAIModel("gpt-4.1-nano", api_key="test", base_url=fake.url)

    with pytest.warns(UserWarning, match="does not support effort") as warned:
        await plain.complete(ASK, effort="high")
    await plain.complete(ASK, effort="high")
    with pytest.raises(EffortNotSupportedError):
        await plain.complete(ASK, effort="high", strict_effort=True)

    assert len(warned) == 1
    assert len(fake.requests) == 2
    assert "reasoning_effort" not in fake.asked[0]


async def test_the_cache_key_is_sent_when_caching_is_on(fake: FakeOpenAI, model: OpenAIModel) -> None:
    fake.play(Says("x"))

    await model.complete(ASK, prompt_caching=PromptCacheConfig(enabled=True, cache_key="acme"))
    await model.complete(ASK, prompt_caching=PromptCacheConfig(cache_key="acme"))

    assert [asked.get("prompt_cache_key") for asked in fake.asked] == ["acme", None]


async def test_a_typed_answer_is_asked_for_strictly(fake: FakeOpenAI, model: OpenAIModel) -> None:
    fake.play(Says('{"city": "Oslo", "sky": "clear", "wind": null}'))

    text, *_ = await model.complete(ASK, output_schema=Weather)

    Weather.model_validate_json(text)
    asked = fake.asked[0]["response_format"]["json_schema"]
    assert (asked["name"], asked["strict"]) == ("Weather", True)
    assert asked["schema"]["required"] == ["city", "sky", "wind"]
    assert asked["schema"]["additionalProperties"] is False


async def test_what_strict_mode_cannot_say_is_a_hint_or_said_in_words(fake: FakeOpenAI, model: OpenAIModel) -> None:
    class Open(BaseModel):
        counts: dict[str, int]

    fake.play(Says("{}"))

    await model.complete(ASK, output_schema=Open)
    await model.complete(ASK, output_schema=list[Weather])

    assert fake.asked[0]["response_format"]["json_schema"]["strict"] is False
    assert "response_format" not in fake.asked[1]
    assert '"sky"' in fake.asked[1]["messages"][-1]["content"]


async def test_the_key_is_the_argument_then_the_secrets_then_the_environment(
    fake: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Secrets:
        def lookup_sync(self, ref: str) -> str | None:
            return "from-secrets" if ref == "OPENAI_API_KEY" else None

    monkeypatch.setenv("OPENAI_BASE_URL", fake.url)
    fake.play(Says("x"))
    await OpenAIModel().complete(ASK)
    monkeypatch.setenv("OPENAI_API_KEY", "from-environment")

    for options in ({"api_key": "given", "secrets": Secrets()}, {"secrets": Secrets()}, {}):
        await OpenAIModel(**options).complete(ASK)

    keys = [request.headers["authorization"].removeprefix("Bearer ") for request in fake.requests]
    assert keys == ["none", "given", "from-secrets", "from-environment"]


async def test_without_a_key_the_variable_is_named() -> None:
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY"):
        await OpenAIModel().complete(ASK)


async def test_leaving_a_stream_early_closes_it_and_the_model_goes_on(fake: FakeOpenAI, model: OpenAIModel) -> None:
    fake.play(Says("one two three four five six", piece_delay_seconds=0.02))

    stream = model.stream(ASK)
    async for chunk in stream:
        assert chunk.text
        break
    await stream.aclose()  # type: ignore[attr-defined]

    assert (await model.complete(ASK))[0] == "one two three four five six"


def test_one_model_serves_several_event_loops(fake: FakeOpenAI, model: OpenAIModel) -> None:
    fake.play(Says("x"))

    async def ask() -> str:
        return (await model.complete(ASK))[0]

    assert [anyio.run(ask), anyio.run(ask)] == ["x", "x"]


def test_strict_schemas_have_no_words_that_strict_mode_refuses() -> None:
    class Node(BaseModel):
        name: str = "x"
        children: list["Node"] = []

    schema = strict_schema(Node.model_json_schema())

    assert schema is not None
    assert schema["required"] == ["name", "children"]
    assert schema["$defs"]["Node"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
    assert "default" not in str(schema)


@pytest.mark.parametrize(
    "part",
    [{}, {"type": "object"}, {"type": "array"}, {"allOf": [{"type": "string"}]}, {"$ref": "#/elsewhere"}, True],
)
def test_a_schema_with_a_part_that_strict_mode_cannot_say_is_not_strict(part: Any) -> None:
    assert strict_schema({"type": "object", "properties": {"x": part}}) is None


def test_it_is_a_model() -> None:
    assert isinstance(OpenAIModel(), Model)
