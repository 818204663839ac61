"""LiteLLM's providers, through LiteLLM itself, against a scripted server on loopback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from agents.core.llm.base import Model
from agents.core.llm.litellm import LiteLLMModel, load_litellm
from agents.core.llm.openai import OpenAIModel
from agents.core.llm.retrying import RetryingModel
from governance.core.retry import RetryPolicy
from loom.errors import AuthenticationError, InvalidRequestError, LoomError, RateLimitError, TransientModelError
from loom.messages import Message, ModelChunk, Role, ToolCall, ToolDef, Usage
from tests.fake_openai import Fails, FakeOpenAI, Raw, Reply, Says, events

HELLO = [Message(role=Role.USER, content="hello")]
LOOKUP = ToolDef(name="files.lookup", description="Look it up", input_schema={"type": "object", "properties": {}})
MISTRAL = "mistral/mistral-large-latest"
# LiteLLM 1.83 reads Pydantic's models in a way that Pydantic 2.11 announces the end of.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211")


class City(BaseModel):
    name: str


class Secrets:
    def __init__(self, **known: str) -> None:
        self.known = known

    def lookup_sync(self, ref: str) -> str | None:
        return self.known.get(ref)


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as fake:
        yield fake


@pytest.fixture(autouse=True)
async def _no_open_connections() -> AsyncIterator[None]:
    yield
    await load_litellm().close_litellm_async_clients()


def model_at(server: FakeOpenAI, *script: Reply, model: str = "openai/gpt-4o", **options: Any) -> LiteLLMModel:
    server.play(*script)
    return LiteLLMModel(model, **{"api_key": "k", "api_base": server.url, **options})


async def read(model: Model, into: list[ModelChunk] | None = None, **options: Any) -> list[ModelChunk]:
    seen = [] if into is None else into
    async for chunk in model.stream(HELLO, **options):
        seen.append(chunk)
    return seen


async def both_ways(model: LiteLLMModel, **options: Any) -> list[tuple[str, list[ToolCall], Usage, str]]:
    whole = await model.complete(HELLO, **options)
    chunks = await read(model, **options)
    calls = [chunk.tool_call for chunk in chunks if chunk.tool_call]
    text = "".join(chunk.text or "" for chunk in chunks)
    return [whole, (text, calls, chunks[-1].usage, chunks[-1].finish_reason)]


async def test_text_calls_and_usage_arrive_alike_whole_and_streamed(server: FakeOpenAI) -> None:
    wire = "files_lookup_"
    script = Says("Let me see.", (("c1", "x", {"q": "größe"}), ("c2", "y", {})))

    for text, calls, usage, reason in await both_ways(model_at(server, script), tools=[LOOKUP]):
        assert (text, reason) == ("Let me see.", "tool_use")
        assert [(call.id, call.tool, call.args) for call in calls] == [("c1", "x", {"q": "größe"}), ("c2", "y", {})]
        assert (usage.input_tokens, usage.output_tokens) == (12, 5)
        assert usage.cost_usd == pytest.approx((12 * 2.5 + 5 * 10) / 1e6)
    assert server.asked[0]["tools"][0]["function"]["name"].startswith(wire)


ANSWER = Says("Grüße 👋 und mehr", calls=(("c1", "a", {"x": [1, "ü"]}), ("c2", "b", {})))


@pytest.mark.parametrize("name", ["openai/gpt-4o", MISTRAL])
@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(1, len(events(ANSWER)) - 1), max_size=12, unique=True))
async def test_any_cutting_of_the_stream_gives_the_same_message(server: FakeOpenAI, name: str, cuts: list[int]) -> None:
    says = replace(ANSWER, cuts=tuple(cuts), piece_delay_seconds=0.001)
    chunks = await read(model_at(server, says, model=name))

    calls = [chunk.tool_call for chunk in chunks if chunk.tool_call]
    assert "".join(chunk.text or "" for chunk in chunks) == "Grüße 👋 und mehr"
    assert [(call.id, call.tool, call.args) for call in calls] == [("c1", "a", {"x": [1, "ü"]}), ("c2", "b", {})]
    assert chunks[-1].finish_reason == "tool_use"


async def test_cached_tokens_are_told_apart_whole_and_streamed(server: FakeOpenAI) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105}
    model = model_at(server, Says("hi", usage=usage | {"prompt_tokens_details": {"cached_tokens": 80}}))

    for _, _, found, _ in await both_ways(model):
        assert (found.input_tokens, found.cached_input_tokens) == (20, 80)


async def test_a_provider_that_sends_less_than_openai_is_read_too(server: FakeOpenAI) -> None:
    model = model_at(server, Says("Hello world"), model=MISTRAL)

    assert [answer[0] for answer in await both_ways(model)] == ["Hello world", "Hello world"]
    assert server.asked[0]["model"] == "mistral-large-latest"


async def test_one_call_under_429_costs_exactly_max_attempts_requests(server: FakeOpenAI) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    model = model_at(server, Fails(429, headers={"retry-after": "7"}))
    retrying = RetryingModel(model, RetryPolicy(max_attempts=3), sleep=sleep)

    with pytest.raises(RateLimitError):
        await retrying.complete(HELLO)
    after_complete = len(server.requests)
    with pytest.raises(RateLimitError):
        await read(retrying)

    assert (after_complete, len(server.requests)) == (3, 6)
    assert slept == [7.0] * 4


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, InvalidRequestError), (401, AuthenticationError), (404, InvalidRequestError), (500, TransientModelError)],
)
@pytest.mark.parametrize("name", ["openai/gpt-4o", MISTRAL])
async def test_failures_are_our_errors_after_one_request(
    server: FakeOpenAI, name: str, status: int, kind: type[LoomError]
) -> None:
    model = model_at(server, Fails(status), model=name)

    with pytest.raises(kind) as of_complete:
        await model.complete(HELLO)
    with pytest.raises(kind) as of_stream:
        await read(model)

    assert type(of_complete.value) is type(of_stream.value) is kind
    assert len(server.requests) == 2


@pytest.mark.parametrize("name", ["openai/gpt-4o", MISTRAL])
@pytest.mark.parametrize("broken_at", [700, 900])
async def test_a_stream_that_is_cut_off_is_an_error_and_its_text_is_kept(
    server: FakeOpenAI, name: str, broken_at: int
) -> None:
    seen: list[ModelChunk] = []

    with pytest.raises(TransientModelError):
        await read(RetryingModel(model_at(server, Says("Hello world " * 9, broken_at=broken_at), model=name)), seen)

    assert "".join(chunk.text or "" for chunk in seen).startswith("Hello")
    assert all(chunk.kind == "text" for chunk in seen)
    assert len(server.requests) == 1


async def test_a_stream_that_ends_without_a_reason_was_cut_off_whatever_litellm_makes_up(
    server: FakeOpenAI,
) -> None:
    whole = events(Says("Hello world"))
    unfinished = whole[: whole.index(b'"finish_reason": "stop"')].rpartition(b"data: ")[0]

    for ending in (b"", b"data: [DONE]\n\n"):
        with pytest.raises(TransientModelError, match="cut off"):
            await read(model_at(server, Raw((unfinished + ending,))))


@pytest.mark.parametrize("name", ["openai/gpt-4o", MISTRAL])
async def test_a_piece_that_cannot_be_read_is_an_error_and_not_left_out(server: FakeOpenAI, name: str) -> None:
    garbled = events(Says("Hello world")).replace(b'"Hello w"', b'"Hello w', 1)

    with pytest.raises(TransientModelError):
        await read(model_at(server, Raw((garbled,)), model=name))


@pytest.mark.parametrize("name", ["openai/gpt-4o", MISTRAL])
@pytest.mark.parametrize(("said", "heard"), [("[DONE], then more", "[DONE], then more"), ("a\u2028\u2028b", "a\n\nb")])
async def test_a_text_that_looks_like_the_end_of_a_line_or_of_the_stream_arrives_whole(
    server: FakeOpenAI, name: str, said: str, heard: str
) -> None:
    chunks = await read(model_at(server, Says(said, fragment=99), model=name))

    assert "".join(chunk.text or "" for chunk in chunks) in {said, heard}
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.output_tokens == 5


async def test_effort_is_always_sent_and_what_a_model_does_not_know_is_left_out(server: FakeOpenAI) -> None:
    assert model_at(server, Says("ok")).request(HELLO, effort="max")["reasoning_effort"] == "high"
    assert model_at(server, Says("ok")).request(HELLO, effort="low")["drop_params"] is True
    assert model_at(server, Says("ok")).request(HELLO, effort="low", strict_effort=True)["drop_params"] is False

    await model_at(server, Says("ok"), model="openai/gpt-5").complete(HELLO, effort="low")
    assert server.asked[0]["reasoning_effort"] == "low"

    await model_at(server, Says("ok")).complete(HELLO, effort="low")
    assert "reasoning_effort" not in server.asked[0]

    with pytest.raises(InvalidRequestError):
        await model_at(server, Says("ok")).complete(HELLO, effort="low", strict_effort=True)
    assert server.asked == []


async def test_a_schema_is_sent_in_strict_form(server: FakeOpenAI) -> None:
    await model_at(server, Says('{"name": "Bern"}')).complete(HELLO, output_schema=City)

    sent = server.asked[0]["response_format"]["json_schema"]
    assert (sent["strict"], sent["schema"]["additionalProperties"]) == (True, False)


async def test_the_key_is_the_argument_s_or_the_one_that_the_secrets_have_for_the_provider(server: FakeOpenAI) -> None:
    secrets = Secrets(MISTRAL_API_KEY="mistral-secret", OPENAI_API_KEY="openai-secret")

    for options in ({"api_key": "mine"}, {"api_key": None}, {"api_key": None, "model": "openai/gpt-4o"}):
        model = model_at(server, Says("ok"), **{"model": MISTRAL, "secrets": secrets, **options})
        await model.complete(HELLO)
        options["seen"] = server.requests[0].headers["authorization"]

        assert (
            options["seen"]
            == {
                ("mine", None): "Bearer mine",
                (None, None): "Bearer mistral-secret",
                (None, "openai/gpt-4o"): "Bearer openai-secret",
            }[options["api_key"], options.get("model")]
        )


async def test_other_settings_of_a_provider_are_taken_from_the_secrets_too() -> None:
    sent: dict[str, Any] = {}

    class Client:
        async def acompletion(self, **request: Any) -> Any:
            sent.update(request)
            raise TransientModelError("stop here")

    secrets = Secrets(AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b", AWS_REGION_NAME="eu-central-1")
    model = LiteLLMModel(
        "bedrock/anthropic.claude-opus-4-7-v1:0", client=Client(), secrets=secrets, aws_region_name="x"
    )

    with pytest.raises(TransientModelError):
        await model.complete(HELLO)

    assert (sent["aws_access_key_id"], sent["aws_secret_access_key"]) == ("a", "b")
    assert sent["aws_region_name"] == "x"
    assert (sent["num_retries"], sent["max_retries"]) == (0, 0)


async def test_an_agreed_price_wins_over_every_list_and_concerns_this_model_only(server: FakeOpenAI) -> None:
    dear = model_at(server, Says("ok"), input_cost_per_token=1.0, output_cost_per_token=2.0)

    assert [usage.cost_usd for _, _, usage, _ in await both_ways(dear)] == [22.0, 22.0]
    assert [usage.cost_usd < 1 for _, _, usage, _ in await both_ways(model_at(server, Says("ok")))] == [True, True]


async def test_a_price_that_only_litellm_knows_is_taken_and_one_that_nobody_knows_is_not_zero(
    server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {"input_cost_per_token": 0.5, "output_cost_per_token": 1, "litellm_provider": "openai", "mode": "chat"}
    monkeypatch.setitem(load_litellm().model_cost, "openai/tailor-made", entry)

    known = await both_ways(model_at(server, Says("ok"), model="openai/tailor-made"))
    unknown = await both_ways(model_at(server, Says("ok"), model="openai/unheard-of"))

    assert [(usage.cost_usd, usage.unpriced) for _, _, usage, _ in known] == [(11.0, False)] * 2
    assert [usage.unpriced for _, _, usage, _ in unknown] == [True, True]


async def test_it_is_an_openai_model_whose_name_has_lost_the_litellm_prefix() -> None:
    model = LiteLLMModel("litellm/gemini/gemini-2.5-flash")

    assert isinstance(model, OpenAIModel)
    assert isinstance(model, Model)
    assert model.name == "gemini/gemini-2.5-flash"
    assert model.supports_native_structured_output


async def test_importing_the_adapter_loads_no_client_and_litellm_stays_off_the_network_and_out_of_dotenv(
    tmp_path: Any,
) -> None:
    (tmp_path / ".env").write_text("LOOM_TEST_LEAK=leaked\n")
    code = (
        "import os, socket, sys; import agents.core.llm.litellm as a;"
        "assert not {'litellm', 'openai', 'httpx2'} & set(sys.modules);"
        "socket.getaddrinfo = socket.socket.connect = lambda *x, **y: sys.exit(f'network: {x}');"
        f"os.chdir({str(tmp_path)!r}); found = a.load_litellm(); assert 'LOOM_TEST_LEAK' not in os.environ;"
        "assert found.telemetry is False"
    )

    subprocess.run([sys.executable, "-W", "error::ResourceWarning", "-c", code], check=True)
