"""Several models in order: who is asked next, and when nobody is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from agents.core.llm.base import Model
from agents.core.llm.fallback import Fallback
from loom.errors import (
    AuthenticationError,
    ContentFilterError,
    InvalidRequestError,
    PermanentModelError,
    RateLimitError,
    TransientModelError,
)
from loom.messages import Message, ModelChunk, Role, Usage

HELLO = [Message(role=Role.USER, content="hello")]


class Playing:
    """Streams its texts, then raises its error or finishes."""

    def __init__(self, name: str, *texts: str, error: Exception | None = None) -> None:
        self.name, self.texts, self.error, self.asked = name, texts, error, 0

    async def stream(self, messages: list[Message], **options: Any) -> AsyncIterator[ModelChunk]:
        self.asked += 1
        for text in self.texts:
            yield ModelChunk(kind="text", text=text)
        if self.error:
            raise self.error
        yield ModelChunk(kind="finish", finish_reason="stop", usage=Usage(input_tokens=1))


class Completing(Playing):
    supports_native_structured_output = True

    async def complete(self, messages: list[Message], **options: Any) -> Any:
        chunks = [chunk async for chunk in self.stream(messages, **options)]
        return "".join(chunk.text or "" for chunk in chunks), [], chunks[-1].usage, "stop"


async def read(model: Model, into: list[ModelChunk] | None = None) -> list[ModelChunk]:
    seen = [] if into is None else into
    async for chunk in model.stream(HELLO):
        seen.append(chunk)
    return seen


ANOTHER_MAY_DO_BETTER = [
    TransientModelError("down"),
    RateLimitError("slow down"),
    AuthenticationError("bad key"),
    PermanentModelError("no credit"),
    InvalidRequestError("no such model", status=404),
    InvalidRequestError("too long", too_long=True),
    httpx2.ConnectError("refused"),
]
NOBODY_WOULD_DO_BETTER = [
    InvalidRequestError("bad schema", status=400),
    ContentFilterError("refused"),
    ValueError("a bug of ours"),
]


@pytest.mark.parametrize("error", ANOTHER_MAY_DO_BETTER, ids=lambda e: str(e))
async def test_the_next_model_answers_when_one_cannot(error: Exception) -> None:
    first, second, third = Completing("a", error=error), Completing("b", "hello"), Completing("c", "never")
    model = Fallback(first, second, third)

    text, _, usage, _ = await model.complete(HELLO)
    chunks = await read(model)

    assert (text, usage.model) == ("hello", "b")
    assert [chunk.text for chunk in chunks] == ["hello", None]
    assert chunks[-1].usage.model == "b"
    assert (first.asked, second.asked, third.asked) == (2, 2, 0)


@pytest.mark.parametrize("error", NOBODY_WOULD_DO_BETTER, ids=lambda e: str(e))
async def test_nobody_else_is_asked_when_the_request_or_its_content_is_refused(error: Exception) -> None:
    second = Completing("b", "never")
    model = Fallback(Completing("a", error=error), second)

    with pytest.raises(type(error)) as of_complete:
        await model.complete(HELLO)
    with pytest.raises(type(error)) as of_stream:
        await read(model)

    assert of_complete.value is of_stream.value is error
    assert second.asked == 0


async def test_a_stream_that_has_begun_is_never_handed_over() -> None:
    second = Playing("b", "Hello world")
    seen: list[ModelChunk] = []

    with pytest.raises(TransientModelError):
        await read(Fallback(Playing("a", "Hello wor", error=TransientModelError("reset")), second), seen)

    assert [chunk.text for chunk in seen] == ["Hello wor"]
    assert second.asked == 0


async def test_the_last_model_s_error_is_raised_when_none_answers() -> None:
    broken = httpx2.ReadTimeout("slow")
    model = Fallback(Completing("a", error=RateLimitError("a")), Completing("b", error=broken))

    with pytest.raises(TransientModelError, match="slow") as raised:
        await model.complete(HELLO)

    assert raised.value.__cause__ is broken


async def test_the_same_model_may_be_named_twice() -> None:
    class Once(Completing):
        async def complete(self, messages: list[Message], **options: Any) -> Any:
            self.asked += 1
            if self.asked == 1:
                raise TransientModelError("busy")
            return "hello", [], Usage(), "stop"

    once = Once("a")

    assert (await Fallback(once, once).complete(HELLO))[0] == "hello"


async def test_a_fallback_inside_a_fallback_keeps_the_name_of_who_answered() -> None:
    inner = Fallback(Completing("a", error=TransientModelError("down")), Completing("b", "hello"))

    assert (await Fallback(inner, Completing("c")).complete(HELLO))[2].model == "b"


async def test_an_answer_that_was_paid_for_and_of_no_use_is_in_the_usage() -> None:
    paid = Usage(input_tokens=10, output_tokens=5)
    garbled = TransientModelError("garbled", usage=paid.model_dump())
    model = Fallback(Completing("a", error=garbled), Completing("b", "hello"))

    whole, streamed = (await model.complete(HELLO))[2], (await read(model))[-1].usage
    with pytest.raises(TransientModelError) as raised:
        await Fallback(Completing("a", error=garbled), Completing("b", error=RateLimitError("b"))).complete(HELLO)

    assert whole == streamed == Usage(input_tokens=11, output_tokens=5, model="b")
    assert raised.value.facts["usage"] == paid.model_dump()


def test_a_sum_of_usage_names_no_model() -> None:
    assert (Usage(model="a", input_tokens=1) + Usage(model="a", input_tokens=1)) == Usage(input_tokens=2)


def test_optional_parts_are_there_only_when_every_model_has_them() -> None:
    mixed, full = Fallback(Completing("a"), Playing("b")), Fallback(Completing("a"), Completing("b"))

    assert isinstance(mixed, Model)
    assert mixed.name == "a"
    assert (hasattr(mixed, "complete"), hasattr(full, "complete")) == (False, True)
    assert (mixed.supports_native_structured_output, full.supports_native_structured_output) == (False, True)
