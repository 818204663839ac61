"""A model that needs nothing: it says what it hears. For demos, tests and measurements."""

from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Any

import anyio

from agents.core.llm.base import Completion
from agents.core.llm.pieces import words
from agents.core.llm.pricing import read_price
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
        text = self._answer(messages)
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
        text = self._answer(messages)
        for word in words(text):
            if self._chunk_delay_s:
                await anyio.sleep(self._chunk_delay_s)
            yield ModelChunk(kind="text", text=word)
        yield ModelChunk(kind="finish", finish_reason="stop", usage=self._usage(messages, text))

    def count_input(self, messages: Sequence[Message]) -> int:
        return sum([len(m.content.split()) for m in messages])

    def _answer(self, messages: list[Message]) -> str:
        for message in reversed(messages):
            if message.role is Role.USER:
                return self._prefix + message.content
        return self._prefix

    def _usage(self, messages: list[Message], text: str) -> Usage:
        heard, said = self.count_input(messages), len(text.split())
        return Usage(input_tokens=heard, output_tokens=said, cost_usd=(heard + said) * self._cost_per_token)
