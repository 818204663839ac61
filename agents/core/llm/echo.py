"""A model that needs nothing: it says what it hears. For demos, tests and measurements."""

import json
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Any

import anyio

from agents.core.llm.base import Completion
from agents.core.llm.least import least_that_fits
from agents.core.llm.pieces import words
from agents.core.llm.pricing import read_price
from agents.core.llm.schemas import schema_of
from loom.messages import Message, ModelChunk, Role, ToolDef, Usage


class EchoModel:
    """Answers with the last thing the user said, after a prefix. A token is a word; `cost_per_token` is in USD."""

    name = "echo"

    def __init__(self, *, prefix: str = "Echo: ", chunk_delay_s: float = 0.0, cost_per_token: float = 0.0) -> None:
        self._prefix = prefix
        self._chunk_delay_s = chunk_delay_s
        self._cost_per_token = cost_per_token
        per_million = Decimal(str(cost_per_token)) * 1_000_000
        self.price = read_price({"in": per_million, "out": per_million})

    async def complete(
        self,
        messages: list[Message],
        *,
        tools: list[ToolDef] | None = None,
        temperature: float = 1.0,
        max_tokens: int | None = None,
        output_schema: Any | None = None,
        effort: str | None = None,
        strict_effort: bool = False,
        prompt_caching: Any = None,
    ) -> Completion:
        text = self._answer(messages, output_schema)
        return text, [], self._usage(messages, text), "stop"

    async def stream(
        self,
        messages: list[Message],
        *,
        tools: list[ToolDef] | None = None,
        temperature: float = 1.0,
        max_tokens: int | None = None,
        output_schema: Any | None = None,
        effort: str | None = None,
        strict_effort: bool = False,
        prompt_caching: Any = None,
    ) -> AsyncIterator[ModelChunk]:
        text = self._answer(messages, output_schema)
        for word in words(text):
            if self._chunk_delay_s:
                await anyio.sleep(self._chunk_delay_s)
            yield ModelChunk(kind="text", text=word)
        yield ModelChunk(kind="finish", finish_reason="stop", usage=self._usage(messages, text))

    def count_input(self, messages: Sequence[Message]) -> int:
        return sum([len(m.content.split()) for m in messages])

    def _answer(self, messages: list[Message], output_schema: Any | None) -> str:
        return self._prefix + _heard(messages)

    def _usage(self, messages: list[Message], text: str) -> Usage:
        heard, said = self.count_input(messages), len(text.split())
        return Usage(input_tokens=heard, output_tokens=said, cost_usd=(heard + said) * self._cost_per_token)


class FittingEcho(EchoModel):
    """The echo where a program asked for any model: of an output with a schema it says the least that fits.

    So a program with typed outputs runs to its end without a model. Texts repeat what was heard, choices are the first.
    """

    supports_native_structured_output = True

    def _answer(self, messages: list[Message], output_schema: Any | None) -> str:
        if output_schema is None:
            return super()._answer(messages, None)
        return json.dumps(least_that_fits(schema_of(output_schema), _heard(messages)))


def _heard(messages: list[Message]) -> str:
    return next((message.content for message in reversed(messages) if message.role is Role.USER), "")
