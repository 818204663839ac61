"""A model that tries again: how often, how long it waits, and what a reader of its stream sees."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx2
import pytest

from agents.core.llm.base import Model
from agents.core.llm.retrying import RetryingModel
from governance.core.retry import RetryPolicy
from loom.errors import InvalidRequestError, PermanentModelError, RateLimitError, TransientModelError
from loom.messages import Message, ModelChunk, Role, Usage

HELLO = [Message(role=Role.USER, content="hello")]
FAST = RetryPolicy(max_attempts=3, initial_delay_s=1.0, jitter=0.0)


class Flaky:
    """Plays a script: text is a chunk, an exception is raised. One list per call."""

    name = "flaky"

    def __init__(self, *calls: list[str | BaseException]) -> None:
        self.calls, self.made, self.closed = list(calls), 0, 0

    async def stream(self, messages: list[Message], **options: Any) -> AsyncIterator[ModelChunk]:
        self.made += 1
        try:
            for item in self.calls.pop(0):
                if isinstance(item, BaseException):
                    raise item
                yield ModelChunk(kind="text", text=item)
            yield ModelChunk(kind="finish", finish_reason="stop", usage=Usage())
        finally:
            self.closed += 1


class FlakyComplete(Flaky):
    supports_native_structured_output = True

    async def complete(self, messages: list[Message], **options: Any) -> Any:
        text = "".join([chunk.text or "" async for chunk in self.stream(messages, **options)])
        return text, [], Usage(), "stop"


class Clock:
    """Sleeps by noting how long."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def retrying(inner: Any, policy: RetryPolicy = FAST) -> tuple[RetryingModel, list[float]]:
    clock = Clock()
    return RetryingModel(inner, policy, sleep=clock.sleep, rng=random.Random(1)), clock.slept


async def read(model: Any, into: list[str] | None = None, **options: Any) -> str:
    seen = [] if into is None else into
    async for chunk in model.stream(HELLO, **options):
        seen.append(chunk.text or "")
    return "".join(seen)


async def test_a_transient_failure_is_repeated_until_it_passes() -> None:
    inner = FlakyComplete([TransientModelError("busy")], [RateLimitError("slow down")], ["hello"])
    model, slept = retrying(inner)

    assert (await model.complete(HELLO))[0] == "hello"
    assert slept == [1.0, 2.0]


async def test_the_last_attempt_s_error_is_raised_after_exactly_max_attempts() -> None:
    inner = FlakyComplete(*[[RateLimitError(f"no {n}")] for n in range(9)])
    model, slept = retrying(inner)

    with pytest.raises(RateLimitError, match="no 2"):
        await model.complete(HELLO)

    assert inner.made == 3
    assert len(slept) == 2


@pytest.mark.parametrize("error", [PermanentModelError("no"), InvalidRequestError("no"), ValueError("mine")])
async def test_what_would_fail_again_is_not_repeated(error: Exception) -> None:
    inner = FlakyComplete([error], ["never"])
    model, slept = retrying(inner)

    with pytest.raises(type(error)) as raised:
        await model.complete(HELLO)

    assert raised.value is error
    assert inner.made == 1
    assert slept == []


async def test_a_client_s_exception_is_judged_and_leaves_as_ours() -> None:
    refused = httpx2.ConnectError("refused")
    model, _ = retrying(FlakyComplete([refused]), RetryPolicy.disabled())

    with pytest.raises(TransientModelError) as raised:
        await model.complete(HELLO)

    assert raised.value.__cause__ is refused


async def test_a_stream_is_repeated_before_its_first_chunk() -> None:
    inner = Flaky([TransientModelError("busy")], ["hel", "lo"])
    model, slept = retrying(inner)

    assert await read(model) == "hello"
    assert slept == [1.0]


async def test_a_stream_that_breaks_after_its_first_chunk_is_not_repeated_so_no_text_is_doubled_or_paid_twice() -> None:
    inner = Flaky(["Hello wor", httpx2.ReadError("reset")], ["Hello world"])
    model, slept = retrying(inner)
    seen: list[str] = []

    with pytest.raises(TransientModelError):
        await read(model, seen)

    assert seen == ["Hello wor"]
    assert inner.made == 1
    assert slept == []


async def test_answers_that_were_paid_for_and_of_no_use_are_in_the_usage() -> None:
    unreadable = {"usage": Usage(input_tokens=10, output_tokens=5, cost_usd=0.5).model_dump()}
    script: list[list[str | BaseException]] = [
        [TransientModelError("garbled", **unreadable)],
        [RateLimitError()],
        ["hi"],
    ]
    model, _ = retrying(FlakyComplete(*script))
    streamed, _ = retrying(Flaky(*script))

    _, _, usage, _ = await model.complete(HELLO)
    chunks = [chunk async for chunk in streamed.stream(HELLO)]

    assert (usage.input_tokens, usage.output_tokens, usage.cost_usd) == (10, 5, 0.5)
    assert [chunk.usage for chunk in chunks] == [None, usage]


async def test_the_last_error_says_what_all_attempts_have_used() -> None:
    used = Usage(input_tokens=10, output_tokens=5)
    model, _ = retrying(FlakyComplete(*[[TransientModelError("no", usage=used.model_dump())] for _ in range(3)]))

    with pytest.raises(TransientModelError) as raised:
        await model.complete(HELLO)

    assert raised.value.facts["usage"] == (used + used + used).model_dump()


async def test_the_wait_the_provider_asks_for_is_kept() -> None:
    model, slept = retrying(Flaky([RateLimitError("no", retry_after=17.0)], ["hello"]))

    assert await read(model) == "hello"
    assert slept == [17.0]


async def test_a_wait_that_would_outlast_the_deadline_is_not_begun() -> None:
    inner = FlakyComplete([RateLimitError("no", retry_after=17.0)], ["late"])
    model, slept = retrying(inner)

    with anyio.fail_after(5), pytest.raises(RateLimitError):
        await model.complete(HELLO)

    assert slept == []


async def test_cancellation_is_let_through_at_once() -> None:
    class Hanging(Flaky):
        async def complete(self, messages: list[Message], **options: Any) -> Any:
            self.made += 1
            await anyio.sleep_forever()

    inner = Hanging()
    model, slept = retrying(inner)

    with anyio.move_on_after(0.01) as scope:
        await model.complete(HELLO)

    assert scope.cancelled_caught
    assert inner.made == 1
    assert slept == []


async def test_a_reader_that_leaves_closes_the_provider_s_stream() -> None:
    inner = Flaky(["a", "b", "c"])
    model, _ = retrying(inner)

    stream = model.stream(HELLO)
    await anext(stream)
    await stream.aclose()

    assert inner.closed == 1


async def test_the_call_s_options_reach_every_attempt() -> None:
    seen = []

    class Noting(Flaky):
        def stream(self, messages: list[Message], **options: Any) -> AsyncIterator[ModelChunk]:
            seen.append(options)
            return super().stream(messages, **options)

    model, _ = retrying(Noting([TransientModelError("busy")], ["hello"]))

    assert await read(model, temperature=0.5, effort="low") == "hello"
    assert seen == [{"temperature": 0.5, "effort": "low"}] * 2


def test_the_wrapper_has_exactly_the_optional_parts_that_the_model_has() -> None:
    plain, full = RetryingModel(Flaky()), RetryingModel(FlakyComplete())

    assert isinstance(plain, Model)
    assert plain.name == "flaky"
    assert (hasattr(plain, "complete"), hasattr(full, "complete")) == (False, True)
    assert (plain.supports_native_structured_output, full.supports_native_structured_output) == (False, True)
    assert plain.policy == RetryPolicy()
