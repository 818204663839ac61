"""Anthropic's models through the real SDK, against a scripted server on loopback."""

from __future__ import annotations

import itertools
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anthropic
import anyio
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from agents.core.llm import anthropic as adapter
from agents.core.llm.anthropic import AnthropicModel
from agents.core.llm.base import Model
from agents.core.llm.connections import close_connections
from agents.core.llm.effort import EffortNotSupportedError
from agents.core.llm.retrying import RetryingModel
from governance.core.retry import RetryPolicy
from loom.errors import (
    AuthenticationError,
    ContentFilterError,
    InvalidRequestError,
    LoomError,
    PermanentModelError,
    RateLimitError,
    TransientModelError,
)
from loom.messages import Image, Message, ModelChunk, PromptCacheConfig, Role, ToolCall, ToolDef, Usage
from tests.fake_anthropic import Answer, FakeAnthropic, Says, block, events_of, fails, serving, sse, streams, whole

HELLO = [Message(role=Role.USER, content="hello")]
# The SDK announces the end of older models; they are here for what they take.
pytestmark = pytest.mark.filterwarnings("ignore:The model:DeprecationWarning")
LOOKUP = ToolDef(name="lookup", description="Look it up", input_schema={"properties": {"q": {"type": "string"}}})


class City(BaseModel):
    name: str
    size: int


@asynccontextmanager
async def model_at(
    *script: Answer | Says, model: str = "claude-opus-4-7", **options: Any
) -> AsyncIterator[tuple[AnthropicModel, FakeAnthropic]]:
    async with serving(*script) as fake, anthropic.AsyncAnthropic(api_key="k", base_url=fake.url) as client:
        yield AnthropicModel(model, client=client, **options), fake


async def read(model: Model, into: list[ModelChunk] | None = None, **options: Any) -> list[ModelChunk]:
    seen = [] if into is None else into
    async for chunk in model.stream(options.pop("messages", HELLO), **options):
        seen.append(chunk)
    return seen


async def both_ways(model: AnthropicModel, **options: Any) -> list[tuple[str, list[ToolCall], Usage, str]]:
    """The same answer from `complete` and from `stream`."""
    whole_answer = await model.complete(HELLO, **options)
    chunks = await read(model, **options)
    text = "".join(chunk.text or "" for chunk in chunks)
    calls = [chunk.tool_call for chunk in chunks if chunk.tool_call]
    return [whole_answer, (text, calls, chunks[-1].usage, chunks[-1].finish_reason)]


async def request_for(
    messages: list[Message] = HELLO, model: str = "claude-opus-4-7", **options: Any
) -> dict[str, Any]:
    """What is sent for a call."""
    async with model_at(Says("ok"), model=model) as (llm, fake):
        await llm.complete(messages, **options)
        await read(llm, messages=messages, **options)
    whole_request, streamed = fake.requests
    assert streamed.pop("stream") is True
    whole_request.pop("stream", None)  # long answers are streamed either way
    assert whole_request == streamed
    return whole_request


# -- answers


async def test_text_and_parallel_calls_arrive_alike_whole_and_streamed() -> None:
    calls = [("toolu_1", "lookup", {"q": 'größe ☃ \\ "'}), ("toolu_2", "lookup", {})]

    async with model_at(Says("Let me see.", calls)) as (model, _):
        answers = await both_ways(model, tools=[LOOKUP])

    for text, found, _, reason in answers:
        assert (text, reason) == ("Let me see.", "tool_use")
        assert [(call.id, call.tool, call.args) for call in found] == calls
    assert answers[0][2] == answers[1][2]


async def test_streamed_output_tokens_are_counted_once_although_the_api_repeats_them() -> None:
    async with model_at(Says("hello", usage={"input_tokens": 12, "output_tokens": 80})) as (model, _):
        answers = await both_ways(model)

    assert [usage.output_tokens for _, _, usage, _ in answers] == [80, 80]
    assert [usage.input_tokens for _, _, usage, _ in answers] == [12, 12]


async def test_cached_and_written_tokens_have_their_own_buckets_and_prices() -> None:
    usage = {"input_tokens": 1000, "output_tokens": 2000, "cache_read_input_tokens": 3000}
    usage |= {"cache_creation_input_tokens": 4000}

    async with model_at(Says("hello", usage=usage)) as (model, _):
        five, hour = await both_ways(model), await both_ways(model, prompt_caching={"ttl": "1h"})

    for _, _, found, _ in five:
        assert (found.input_tokens, found.cached_input_tokens, found.cache_write_tokens) == (1000, 3000, 4000)
        assert found.cost_usd == pytest.approx((1000 * 5 + 2000 * 25 + 3000 * 0.5 + 4000 * 6.25) / 1e6)
        assert not found.unpriced
    for _, _, found, _ in hour:
        assert found.cost_usd == pytest.approx((1000 * 5 + 2000 * 25 + 3000 * 0.5 + 4000 * 10) / 1e6)


async def test_a_model_without_a_known_price_is_marked_and_not_free() -> None:
    async with model_at(Says("hello"), model="claude-secret-99") as (model, _):
        answers = await both_ways(model)

    assert all(usage.unpriced and usage.cost_usd == 0 for _, _, usage, _ in answers)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_use"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "pause_turn"),
    ],
)
async def test_stop_reasons_are_told_in_our_words(theirs: str, ours: str) -> None:
    async with model_at(Says("hello", stop_reason=theirs)) as (model, _):
        assert [reason for *_, reason in await both_ways(model)] == [ours, ours]


async def test_a_refusal_is_an_error_that_says_why_and_what_it_cost() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "This could do harm."}

    async with model_at(Says("I", stop_reason="refusal", stop_details=details)) as (model, _):
        with pytest.raises(ContentFilterError, match="could do harm") as of_complete:
            await model.complete(HELLO)
        with pytest.raises(ContentFilterError) as of_stream:
            await read(model)

    for raised in (of_complete, of_stream):
        assert raised.value.facts["category"] == "cyber"
        assert raised.value.facts["usage"]["output_tokens"] == 80


async def test_a_long_answer_is_streamed_even_when_it_is_wanted_whole() -> None:
    async with model_at(Says("hello")) as (model, fake):
        answer = await model.complete(HELLO, max_tokens=64_000)

    assert answer[0] == "hello"
    assert fake.requests[0]["stream"] is True


async def test_connections_are_used_again_after_a_stream() -> None:
    async with model_at(Says("hello")) as (model, fake):
        await read(model)
        await read(model)

    assert (len(fake.requests), fake.connections) == (2, 1)


# -- errors


async def test_one_call_under_429_costs_exactly_max_attempts_requests() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with model_at(fails(429, "rate_limit_error", retry_after="7")) as (model, fake):
        retrying = RetryingModel(model, RetryPolicy(max_attempts=3), sleep=sleep)
        with pytest.raises(RateLimitError):
            await retrying.complete(HELLO)
        after_complete = len(fake.requests)
        with pytest.raises(RateLimitError):
            await read(retrying)

    assert (after_complete, len(fake.requests)) == (3, 6)
    assert slept == [7.0] * 4


async def test_a_client_of_our_own_does_not_repeat_either(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(fails(500)) as fake:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", fake.url)
        with pytest.raises(TransientModelError):
            await AnthropicModel(api_key="k").complete(HELLO)
        await close_connections()

    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (fails(400, "invalid_request_error"), InvalidRequestError),
        (fails(401, "authentication_error"), AuthenticationError),
        (fails(402, "billing_error"), PermanentModelError),
        (fails(403, "permission_error"), AuthenticationError),
        (fails(404, "not_found_error"), InvalidRequestError),
        (fails(500), TransientModelError),
        (fails(503, retry_after="2"), TransientModelError),
        (fails(529, "overloaded_error"), TransientModelError),
        (Answer(cut=True), TransientModelError),
        (Answer(pieces=[b'{"id": "msg_1", "content"']), TransientModelError),
        (Answer(pieces=[b"<html>busy</html>"]), TransientModelError),
        (Answer(headers={"content-type": "text/html"}, pieces=[b"<html>busy</html>"]), TransientModelError),
        (Answer(pieces=[b"[1, 2]"]), TransientModelError),
    ],
)
async def test_every_failure_of_a_whole_answer_is_one_of_our_errors_after_one_request(
    answer: Answer, kind: type[LoomError]
) -> None:
    async with model_at(answer) as (model, fake):
        with pytest.raises(kind) as raised:
            await model.complete(HELLO)

    assert type(raised.value) is kind
    assert len(fake.requests) == 1


EVENTS = events_of(Says("Hello world", [("toolu_1", "lookup", {"q": "x"})]))
UP_TO_TEXT = EVENTS[:5]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (streams(UP_TO_TEXT, cut=True), TransientModelError),
        (streams(UP_TO_TEXT), TransientModelError),
        (streams(EVENTS[:-1]), TransientModelError),
        (streams([*UP_TO_TEXT, b"event: content_block_delta\ndata: {not json\n\n"]), TransientModelError),
        (streams([*UP_TO_TEXT, b"event: content_block_delta\ndata: [1]\n\n"]), TransientModelError),
        (streams([*UP_TO_TEXT, {"type": "content_block_delta", "index": 0}]), TransientModelError),
        (streams([*UP_TO_TEXT, b"event: content_block_delta\ndata: \xff\xfe\n\n"]), TransientModelError),
        (streams([*UP_TO_TEXT, {"type": "error", "error": {"type": "overloaded_error"}}]), TransientModelError),
        (streams([*UP_TO_TEXT, {"type": "error", "error": {"type": "rate_limit_error"}}]), RateLimitError),
    ],
    ids=itertools.count(),
)
async def test_a_broken_stream_is_one_clear_error_and_the_text_so_far_is_kept(
    answer: Answer, kind: type[LoomError]
) -> None:
    seen: list[ModelChunk] = []

    async with model_at(answer) as (model, fake):
        with pytest.raises(kind) as raised:
            await read(RetryingModel(model), seen)

    assert type(raised.value) is kind
    assert "".join(chunk.text or "" for chunk in seen).startswith("Hello")
    assert all(chunk.kind != "finish" for chunk in seen)
    assert len(fake.requests) == 1


async def test_a_stream_that_goes_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "STALL_SECONDS", 0.2)
    seen: list[ModelChunk] = []

    async with model_at(streams(UP_TO_TEXT, stall=True)) as (model, _):
        with pytest.raises(TransientModelError):
            await read(model, seen)

    assert [chunk.text for chunk in seen] == ["Hello w", "orld"]


async def test_a_call_whose_arguments_are_no_json_object_is_never_made() -> None:
    async with model_at(streams(events_of(Says("", [("toolu_1", "lookup", '{"q": "x"')])))) as (model, _):
        seen: list[ModelChunk] = []
        with pytest.raises(TransientModelError, match="lookup"):
            await read(model, seen)

    assert seen == []


async def test_a_call_that_was_cut_by_max_tokens_says_what_to_change() -> None:
    says = Says("", [("toolu_1", "lookup", '{"q": "x')], stop_reason="max_tokens")

    async with model_at(streams(events_of(says))) as (model, _):
        with pytest.raises(PermanentModelError, match="max_tokens=99"):
            await read(model, max_tokens=99)


async def test_a_second_end_of_the_stream_is_ignored() -> None:
    async with model_at(streams([*EVENTS, *EVENTS])) as (model, _):
        chunks = await read(model)

    assert [chunk.kind for chunk in chunks].count("finish") == 1
    assert [chunk.kind for chunk in chunks].count("tool_call") == 1


async def test_a_stream_that_tells_no_usage_is_marked_as_unpriced() -> None:
    events = [event | {"usage": None} if event["type"] == "message_delta" else event for event in events_of(Says("hi"))]
    events[0] = {"type": "message_start", "message": whole(Says()) | {"usage": None}}

    async with model_at(streams(events)) as (model, _):
        usage = (await read(model))[-1].usage

    assert usage == Usage(unpriced=True)


async def test_a_missing_key_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ANTHROPIC_AUTH_TOKEN", raising=False)

    with pytest.raises(AuthenticationError, match="ANTHROPIC_API_KEY"):
        await AnthropicModel().complete(HELLO)


async def test_the_key_is_taken_from_the_argument_then_the_secrets_then_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Secrets:
        def lookup_sync(self, ref: str) -> str | None:
            return "from-secrets" if ref == "ANTHROPIC_API_KEY" else None

    async with serving(Says("hi")) as fake:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", fake.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "from-environment")
        for model in (
            AnthropicModel(api_key="from-argument", secrets=Secrets()),
            AnthropicModel(secrets=Secrets()),
            AnthropicModel(),
        ):
            await model.complete(HELLO)
        await close_connections()

    keys = [headers["authorization"] for headers in fake.headers]
    assert keys == ["Bearer from-argument", "Bearer from-secrets", "Bearer from-environment"]


def test_one_model_serves_several_event_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    model = AnthropicModel(api_key="k")

    async def once() -> str:
        async with serving(Says("hi")) as fake:
            monkeypatch.setenv("ANTHROPIC_BASE_URL", fake.url)
            text = (await model.complete(HELLO))[0]
            await close_connections()
            return text

    assert [anyio.run(once), anyio.run(once)] == ["hi", "hi"]


# -- requests


async def test_the_model_may_pick_the_agent_s_own_tools_although_a_schema_is_asked_for() -> None:
    sent = await request_for(tools=[LOOKUP], output_schema=City)

    assert "tool_choice" not in sent
    assert [tool["name"] for tool in sent["tools"]] == ["lookup"]
    assert sent["output_config"]["format"]["type"] == "json_schema"
    assert sent["output_config"]["format"]["schema"]["required"] == ["name", "size"]
    assert sent["output_config"]["format"]["schema"]["additionalProperties"] is False


async def test_system_messages_are_joined_and_the_rest_keeps_its_order() -> None:
    conversation = [
        Message(role=Role.SYSTEM, content="You are a clerk."),
        Message(role=Role.USER, content="one"),
        Message(role=Role.ASSISTANT, content="two"),
        Message(role=Role.SYSTEM, content="Be brief."),
        Message(role=Role.SYSTEM, content="  "),
        Message(role=Role.USER, content="three"),
    ]

    sent = await request_for(conversation)

    assert sent["system"] == "You are a clerk.\n\nBe brief."
    assert [(turn["role"], turn["content"]) for turn in sent["messages"]] == [
        ("user", "one"),
        ("assistant", "two"),
        ("user", "three"),
    ]


async def test_tool_results_that_follow_one_another_are_one_user_turn() -> None:
    calls = (ToolCall(id="a", tool="lookup", args={"q": "1"}), ToolCall(id="b", tool="lookup", args={}))
    conversation = [
        *HELLO,
        Message(role=Role.ASSISTANT, content="Looking.", tool_calls=calls),
        Message(role=Role.TOOL, content="one", tool_call_id="a"),
        Message(role=Role.TOOL, content="", tool_call_id="b"),
        Message(role=Role.ASSISTANT, content="", tool_calls=calls[:1]),
        Message(role=Role.TOOL, content="three", tool_call_id="a"),
    ]

    turns = (await request_for(conversation, tools=[LOOKUP]))["messages"]

    assert [turn["role"] for turn in turns] == ["user", "assistant", "user", "assistant", "user"]
    assert turns[1]["content"] == [
        {"type": "text", "text": "Looking."},
        {"type": "tool_use", "id": "a", "name": "lookup", "input": {"q": "1"}},
        {"type": "tool_use", "id": "b", "name": "lookup", "input": {}},
    ]
    assert turns[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": "one"},
        {"type": "tool_result", "tool_use_id": "b", "content": ""},
    ]
    assert turns[4]["content"] == [{"type": "tool_result", "tool_use_id": "a", "content": "three"}]


async def test_pictures_are_sent_as_data_or_by_address() -> None:
    images = (Image(media_type="image/jpeg", data="QUJD"), Image(url="https://example.org/a.png"))
    conversation = [
        Message(role=Role.USER, content="what?", images=images),
        Message(role=Role.ASSISTANT, content="", tool_calls=(ToolCall(id="a", tool="lookup"),)),
        Message(role=Role.TOOL, content="seen", tool_call_id="a", images=images[:1]),
    ]

    turns = (await request_for(conversation))["messages"]

    data = {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "QUJD"}}
    address = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
    assert turns[0]["content"] == [data, address, {"type": "text", "text": "what?"}]
    assert turns[2]["content"][0]["content"] == [{"type": "text", "text": "seen"}, data]


async def test_a_tool_with_a_dot_in_its_name_is_offered_and_called_back_by_its_own_name() -> None:
    dotted = ToolDef(name="files.read", description="Read")
    async with model_at(Says("ok")) as (model, fake):
        await model.complete(HELLO, tools=[dotted])
        wire = fake.requests[0]["tools"][0]["name"]
        fake.script[:] = [Says("", [("a", wire, {})])]
        answers = await both_ways(model, tools=[dotted])

    assert wire.startswith("files_read_")
    assert fake.requests[0]["tools"][0]["input_schema"] == {"type": "object", "properties": {}}
    assert [calls[0].tool for _, calls, _, _ in answers] == ["files.read", "files.read"]


@pytest.mark.parametrize(
    ("caching", "marker"),
    [
        (None, None),
        (False, None),
        (PromptCacheConfig(), None),
        (True, {"type": "ephemeral"}),
        (PromptCacheConfig(enabled=True), {"type": "ephemeral"}),
        (PromptCacheConfig(enabled=True, ttl="1h"), {"type": "ephemeral", "ttl": "1h"}),
        ({"ttl": "1h"}, {"type": "ephemeral", "ttl": "1h"}),
        ({"enabled": False}, None),
    ],
)
async def test_caching_marks_the_end_of_the_system_prompt_and_of_the_tools(caching: Any, marker: Any) -> None:
    conversation = [Message(role=Role.SYSTEM, content="Be brief."), *HELLO]

    sent = await request_for(conversation, tools=[LOOKUP, LOOKUP], prompt_caching=caching)

    if marker is None:
        assert "cache_control" not in str(sent)
    else:
        assert sent["system"] == [{"type": "text", "text": "Be brief.", "cache_control": marker}]
        assert [tool.get("cache_control") for tool in sent["tools"]] == [None, marker]


class Free(BaseModel):
    anything: dict[str, Any]


class Tree(BaseModel):
    children: list[Tree]


class Choice(BaseModel):
    kind: Literal["a", "b"]
    city: City | None = None
    tags: list[str] = []


@pytest.mark.parametrize(("schema", "is_enforced"), [(City, True), (Choice, True), (Free, False), (Tree, False)])
async def test_a_schema_that_the_api_cannot_enforce_is_asked_for_in_words(schema: Any, is_enforced: bool) -> None:
    sent = await request_for(output_schema=schema)

    assert ("output_config" in sent) is is_enforced
    assert ("JSON Schema" in sent.get("system", "")) is not is_enforced


async def test_a_union_of_schemas_and_a_plain_json_schema_are_taken_too() -> None:
    union = await request_for(output_schema=City | Choice)
    plain = await request_for(output_schema={"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}})

    assert len(union["output_config"]["format"]["schema"]["anyOf"]) == 2
    assert plain["output_config"]["format"]["schema"]["properties"]["n"]["type"] == "integer"


async def test_an_older_model_is_asked_for_its_schema_in_words_and_says_so_beforehand() -> None:
    old = "claude-3-haiku-20240307"

    sent = await request_for(model=old, output_schema=City)

    assert "output_config" not in sent
    assert not AnthropicModel(old).supports_native_structured_output
    assert AnthropicModel.supports_native_structured_output
    assert AnthropicModel().supports_native_structured_output


@pytest.mark.parametrize(
    ("model", "temperature", "sent"),
    [
        ("claude-sonnet-4-5", 0.2, 0.2),
        ("claude-opus-4-6", 0.0, 0.0),
        ("claude-sonnet-4-5", 1.0, None),
        ("claude-opus-4-7", 0.2, None),
        ("claude-sonnet-5", 0.2, None),
    ],
)
async def test_temperature_is_sent_to_the_models_that_still_have_one(model: str, temperature: float, sent: Any) -> None:
    assert (await request_for(model=model, temperature=temperature)).get("temperature") == sent


async def test_the_default_limit_of_the_answer_is_4096_tokens() -> None:
    assert (await request_for())["max_tokens"] == 4096
    assert (await request_for(max_tokens=7))["max_tokens"] == 7


# -- effort


@pytest.mark.parametrize(
    ("model", "effort", "sent"),
    [
        ("claude-opus-4-7", "minimal", "low"),
        ("claude-opus-4-7", "high", "high"),
        ("claude-opus-4-7", "xhigh", "xhigh"),
        ("claude-opus-4-7-20260416", "max", "max"),
        ("claude-opus-4-6", "medium", "medium"),
        ("claude-opus-4-6", "max", "high"),
        ("claude-sonnet-4-6", "minimal", "low"),
        ("claude-sonnet-5", "max", "max"),
        ("us.anthropic.claude-opus-4-7-v1:0", "xhigh", "xhigh"),
    ],
)
async def test_newer_models_think_as_they_see_fit_under_the_given_effort(model: str, effort: str, sent: str) -> None:
    request = await request_for(model=model, effort=effort, output_schema=City)

    assert request["thinking"] == {"type": "adaptive"}
    assert request["output_config"]["effort"] == sent
    assert "format" in request["output_config"]


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-sonnet-4-20250514", "claude-opus-4-5"])
@pytest.mark.parametrize(("effort", "budget"), [("minimal", 1024), ("low", 2048), ("medium", 4096), ("high", 8192)])
async def test_older_models_think_by_budget_on_top_of_the_answer(model: str, effort: str, budget: int) -> None:
    request = await request_for(model=model, effort=effort, temperature=0.3)

    assert request["thinking"] == {"type": "enabled", "budget_tokens": budget}
    assert request["max_tokens"] == 4096 + budget
    assert "temperature" not in request


async def test_the_highest_efforts_stay_within_what_the_model_can_write() -> None:
    sonnet = await request_for(model="claude-sonnet-4-5", effort="max")
    opus = await request_for(model="claude-opus-4-1", effort="max")

    assert sonnet["thinking"]["budget_tokens"] == 32768
    assert opus["max_tokens"] == 32_000
    assert opus["thinking"]["budget_tokens"] == 32_000 - 4096


async def test_a_limit_that_the_caller_set_is_not_raised_by_thinking() -> None:
    request = await request_for(model="claude-sonnet-4-5", effort="max", max_tokens=5000)

    assert request["max_tokens"] == 5000
    assert request["thinking"]["budget_tokens"] == 2500


async def test_an_older_model_does_not_think_anew_between_its_tool_calls() -> None:
    conversation = [
        *HELLO,
        Message(role=Role.ASSISTANT, content="", tool_calls=(ToolCall(id="a", tool="lookup"),)),
        Message(role=Role.TOOL, content="found", tool_call_id="a"),
    ]

    assert "thinking" not in await request_for(conversation, model="claude-sonnet-4-5", effort="high")
    assert "thinking" in await request_for(conversation, model="claude-opus-4-7", effort="high")


async def test_an_effort_that_a_model_does_not_have_is_left_out_with_one_warning() -> None:
    async with model_at(Says("ok"), model="claude-3-haiku-20240307") as (model, fake):
        with pytest.warns(UserWarning, match="does not support effort='low'"):
            await model.complete(HELLO, effort="low")
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            await model.complete(HELLO, effort="low")

    assert all("thinking" not in request for request in fake.requests)


@pytest.mark.parametrize(("model", "limit"), [("claude-3-haiku-20240307", None), ("claude-sonnet-4-5", 100)])
async def test_a_strict_effort_that_cannot_be_had_is_an_error_before_anything_is_sent(
    model: str, limit: int | None
) -> None:
    async with model_at(Says("ok"), model=model) as (llm, fake):
        with pytest.raises(EffortNotSupportedError) as raised:
            await llm.complete(HELLO, effort="high", strict_effort=True, max_tokens=limit)

    assert isinstance(raised.value, ValueError)
    assert isinstance(raised.value, LoomError)
    assert fake.requests == []


# -- whatever the network does


class Cut(httpx2.AsyncByteStream):
    def __init__(self, data: bytes, cuts: list[int]) -> None:
        edges = [0, *sorted({cut for cut in cuts if cut < len(data)}), len(data)]
        self.pieces = [data[start:end] for start, end in itertools.pairwise(edges)]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


class Wire(httpx2.AsyncBaseTransport):
    """Answers with the same bytes, cut in the given places."""

    def __init__(self, data: bytes, cuts: list[int]) -> None:
        self.data, self.cuts = data, cuts

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        headers = {"content-type": "text/event-stream"}
        return httpx2.Response(200, headers=headers, stream=Cut(self.data, self.cuts), request=request)


SAID = Says("Grüße, Welt ☃", [("a", "lookup", {"q": "☃\n\n"}), ("b", "lookup", {"deep": [{"é": 1.5}]})], fragment=3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 4000), max_size=60), st.integers(1, 9), st.sampled_from(["\n", "\r\n"]))
def test_any_cutting_of_the_byte_stream_yields_the_same_message(cuts: list[int], fragment: int, newline: str) -> None:
    SAID.fragment = fragment
    data = b"".join(sse(event) for event in events_of(SAID)).replace(b"\n", newline.encode())

    async def once() -> list[ModelChunk]:
        http = httpx2.AsyncClient(transport=Wire(data, cuts))
        async with anthropic.AsyncAnthropic(api_key="k", base_url="http://fake", http_client=http) as client:
            return await read(AnthropicModel(client=client), tools=[LOOKUP])

    chunks = anyio.run(once)

    assert "".join(chunk.text or "" for chunk in chunks) == SAID.text
    assert [(c.id, c.tool, c.args) for chunk in chunks if (c := chunk.tool_call)] == SAID.calls
    assert chunks[-1].usage.output_tokens == 80
    assert [chunk.kind for chunk in chunks].count("finish") == 1


def test_blocks_of_a_kind_we_do_not_know_are_passed_over() -> None:
    thinking = block(0, {"type": "thinking", "thinking": ""}, [{"type": "thinking_delta", "thinking": "hm"}])
    events = events_of(Says("hello"))
    events[2:2] = [*thinking, {"type": "brand_new_event"}]
    data = b"".join(sse(event) for event in events)

    async def once() -> list[ModelChunk]:
        http = httpx2.AsyncClient(transport=Wire(data, []))
        async with anthropic.AsyncAnthropic(api_key="k", base_url="http://fake", http_client=http) as client:
            return await read(AnthropicModel(client=client))

    assert "".join(chunk.text or "" for chunk in anyio.run(once)) == "hello"


def test_importing_the_adapter_does_not_load_the_sdk() -> None:
    code = "import sys, agents.core.llm.anthropic; print('anthropic' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
