"""The model that needs no key and no network: SmolLM2-135M-Instruct, in the process.

It answers short questions, fills in forms and picks a tool; it does not reason. Whoever needs more sets a key.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from pydantic_core import from_json

from agents.core.llm import local_engine
from agents.core.llm.base import Completion
from agents.core.llm.grammar import bounded, grammar
from agents.core.llm.local_prompt import Choice, chat
from agents.core.llm.pricing import FREE
from agents.core.llm.schemas import Schema, schema_of
from loom.errors import InvalidRequestError
from loom.messages import Message, ModelChunk, ToolDef, Usage

_PLAIN_TOKENS = 512
_TYPED_TOKENS = 1024
_TYPED_CHARACTERS = 3 * _TYPED_TOKENS
_HOTTEST = 0.3
_FINISH = {"stop": "stop", "length": "length"}


class LocalModel:
    """A small local model; calls cost nothing and are answered two at a time per process.

    `output_schema` is enforced while the answer is written, within bounds (texts of 200 characters, lists of 8).
    Tools are offered as a choice between an answer and one call: those that share a word with what the user said, and
    each once until the user speaks again, because a model of this size would call anything, for ever. The temperature
    is at most 0.3, and 0 for typed answers. Effort and prompt caching mean nothing here. Raises ConfigError, with the
    command to install them, when its wheels are missing.
    """

    name = "local"
    supports_native_structured_output = True
    price = FREE
    max_output_tokens = _TYPED_TOKENS
    max_input_tokens = local_engine.CONTEXT - _TYPED_TOKENS

    def __init__(self) -> None:
        local_engine.weights()

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
        text, calls, usage, finish = [], [], Usage(), "stop"
        chunks = self.stream(
            messages, tools=tools, temperature=temperature, max_tokens=max_tokens, output_schema=output_schema
        )
        async for chunk in chunks:
            text.append(chunk.text or "")
            calls += [chunk.tool_call] if chunk.tool_call else []
            usage, finish = chunk.usage or usage, chunk.finish_reason or finish
        return "".join(text), calls, usage, finish

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
        answer = bounded(schema_of(output_schema), characters=_TYPED_CHARACTERS) if output_schema else None
        choice = Choice.of(messages, tools or [], answer)
        constraint = choice.schema if choice else answer
        request = _request(chat(messages, choice), temperature, max_tokens, constraint)
        reader = Reader(choice)
        async with aclosing(local_engine.generate(request)) as chunks:
            async for chunk in chunks:
                if text := reader.read(chunk):
                    yield ModelChunk(kind="text", text=text)
        for piece in reader.finish(constrained=constraint is not None):
            yield piece


def _request(
    messages: list[dict[str, str]], temperature: float, max_tokens: int | None, constraint: Schema | None
) -> dict[str, Any]:
    request: dict[str, Any] = {
        "messages": messages,
        # Fields are read out of a text, not made up: the likeliest token, so that the same text gives the same fields.
        "temperature": 0.0 if constraint is not None else min(temperature, _HOTTEST),
        "min_p": 0.1,
        "max_tokens": max_tokens or (_TYPED_TOKENS if constraint else _PLAIN_TOKENS),
        "stream_options": {"include_usage": True},
        "return_progress": True,  # without it a cancelled call would read its whole prompt first
    }
    # Prose of a small model goes in circles without the penalty; JSON has to repeat its quotes and commas.
    return request | ({"grammar": grammar(constraint)} if constraint else {"repeat_penalty": 1.1})


class Reader:
    """Puts the engine's chunks together; hands out the text as far as it is surely part of the answer."""

    def __init__(self, choice: Choice | None) -> None:
        self._choice = choice
        self._written, self._shown = "", ""
        self._reason, self._usage = "stop", Usage()

    def read(self, chunk: dict[str, Any]) -> str:
        if usage := chunk.get("usage"):
            self._usage = _usage(usage)
        for part in chunk.get("choices", ()):
            self._reason = part.get("finish_reason") or self._reason
            self._written += part.get("delta", {}).get("content") or ""
        sure = self._written if self._choice is None else self._choice.answer_so_far(self._written)
        new = sure[len(self._shown) :]
        self._shown += new
        return new

    def finish(self, *, constrained: bool) -> list[ModelChunk]:
        reason, chunks = self._reason, []
        if constrained and reason == "stop":
            self._refuse_prose()
        if self._choice is not None:
            text, call = self._choice.read(self._written)
            chunks = [ModelChunk(kind="text", text=text[len(self._shown) :])] if text[len(self._shown) :] else []
            chunks += [ModelChunk(kind="tool_call", tool_call=call)] if call else []
            reason = "tool_use" if call else reason
        return [*chunks, ModelChunk(kind="finish", finish_reason=reason, usage=self._usage)]

    def _refuse_prose(self) -> None:
        """The engine ignores a grammar that it cannot compile; the caller must not take its prose for an answer."""
        try:
            from_json(self._written)
        except ValueError as error:
            raise InvalidRequestError(
                "the local model cannot be held to this schema; simplify its patterns, or choose another model"
            ) from error


def _usage(counted: dict[str, Any]) -> Usage:
    cached = (counted.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    return Usage(
        input_tokens=counted["prompt_tokens"] - cached,
        cached_input_tokens=cached,
        output_tokens=counted["completion_tokens"],
    )
