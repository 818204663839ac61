"""Anthropic's models, through their SDK."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from agents.core.llm.anthropic_request import build_request, cache_config, traits_of
from agents.core.llm.base import Completion
from agents.core.llm.clients import as_model_errors, without_retries
from agents.core.llm.connections import shared_http_client
from agents.core.llm.names import names_by_wire
from agents.core.llm.pricing import estimate_cost
from loom.errors import (
    AuthenticationError,
    ContentFilterError,
    ModelError,
    PermanentModelError,
    TransientModelError,
)
from loom.messages import Message, ModelChunk, ToolCall, ToolDef, Usage

STALL_SECONDS = 60.0  # a healthy stream pings more often
ANSWER_SECONDS = 600.0
# Longer answers are streamed even when they are wanted whole: they would outlast the API's patience.
_LONGEST_WHOLE_ANSWER = 16_384

_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_use",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
}


class AnthropicModel:
    """A model of Anthropic's Messages API.

    One call is one HTTP request: repeating is left to `RetryingModel`. The key is `api_key`, else `secrets`' or the
    environment's ANTHROPIC_API_KEY. `temperature` is sent to the models that still have one. An `output_schema` that
    the API cannot enforce is asked for in words.
    """

    supports_native_structured_output: bool = True

    def __init__(
        self,
        model: str = "claude-opus-4-7",
        *,
        client: Any = None,
        api_key: str | None = None,
        max_tokens: int = 4096,
        secrets: Any | None = None,
    ) -> None:
        self.name = model
        self.max_tokens = max_tokens
        self.supports_native_structured_output = traits_of(model).has_schema
        self._api_key, self._secrets = api_key, secrets
        self._given = without_retries(client, "anthropic")
        self._own: tuple[Any, Any] | None = None

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
        """The whole answer: text, tool calls, usage, finish reason."""
        request = build_request(
            self.name,
            messages,
            default_max_tokens=self.max_tokens,
            tools=tools,
            temperature=temperature,
            max_tokens=max_tokens,
            output_schema=output_schema,
            effort=effort,
            strict_effort=strict_effort,
            prompt_caching=prompt_caching,
        )
        answer = self._answer(request, tools, prompt_caching)
        if request["max_tokens"] > _LONGEST_WHOLE_ANSWER:
            return _joined([chunk async for chunk in self._chunks(request, answer)])
        return await self._whole(request, answer)

    def stream(
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
        """The answer in pieces. Tool calls come whole; the last chunk is `finish`."""
        request = build_request(
            self.name,
            messages,
            default_max_tokens=self.max_tokens,
            tools=tools,
            temperature=temperature,
            max_tokens=max_tokens,
            output_schema=output_schema,
            effort=effort,
            strict_effort=strict_effort,
            prompt_caching=prompt_caching,
        )
        return self._chunks(request, self._answer(request, tools, prompt_caching))

    def _answer(self, request: dict[str, Any], tools: list[ToolDef] | None, prompt_caching: Any) -> _Answer:
        ttl = cache_config(prompt_caching).ttl
        return _Answer(self.name, request["max_tokens"], names_by_wire(tools), ttl)

    async def _whole(self, request: dict[str, Any], answer: _Answer) -> Completion:
        with as_model_errors(self.name, "anthropic"):
            message = await self._client().messages.create(**request, timeout=ANSWER_SECONDS)
            chunks = list(answer.read(message))
        return _joined([*chunks, answer.finish()])

    async def _chunks(self, request: dict[str, Any], answer: _Answer) -> AsyncIterator[ModelChunk]:
        with as_model_errors(self.name, "anthropic"):
            events = await self._client().messages.create(**request, stream=True, timeout=STALL_SECONDS)
            async with events:
                async for event in events:
                    for chunk in answer.take(event):
                        yield chunk
        yield answer.finish()

    def _client(self) -> Any:
        if self._given is not None:
            return self._given
        pool = shared_http_client()
        own = self._own
        if own is None or own[0] is not pool:  # another event loop
            own = self._own = (pool, self._connect(pool))
        return own[1]

    def _connect(self, pool: Any) -> Any:
        from anthropic import AsyncAnthropic  # slow to import: only when a model is really called

        key = self._api_key or (self._secrets.lookup_sync("ANTHROPIC_API_KEY") if self._secrets else None)
        key = key or os.environ.get("ANTHROPIC_API_KEY")
        client = AsyncAnthropic(api_key=key, max_retries=0, http_client=pool)
        if not (client.api_key or client.auth_token or client.credentials):
            raise AuthenticationError(
                f"no key for {self.name}: set ANTHROPIC_API_KEY, or pass api_key= or secrets=", provider="anthropic"
            )
        return client


# -- reading an answer


@dataclass(slots=True)
class _Call:
    id: str
    tool: str
    whole: Any
    parts: list[str] = field(default_factory=list)

    def args(self) -> dict[str, Any]:
        """Raises ValueError when the pieces are no JSON object."""
        found = json.loads("".join(self.parts)) if any(self.parts) else self.whole or {}
        if not isinstance(found, dict):
            raise ValueError(f"not a JSON object: {found!r}")
        return found


@dataclass(slots=True)
class _Answer:
    """One answer as it comes in. Usage in the stream is cumulative: the largest number counts, not the sum."""

    model: str
    max_tokens: int
    names: dict[str, str]
    cache_ttl: Any
    ended: bool = False
    reason: str | None = None
    refusal: Any = None
    broken: str = ""
    called: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    open_calls: dict[int, _Call] = field(default_factory=dict)

    def take(self, event: Any) -> Iterator[ModelChunk]:
        if self.ended:  # read to the end, so that the connection can be used again
            return
        match event.type:
            case "message_start":
                self._count(event.message.usage)
            case "content_block_start":
                yield from self._start(event.index, event.content_block)
            case "content_block_delta":
                yield from self._delta(event.index, event.delta)
            case "content_block_stop" if event.index in self.open_calls:
                yield from self._call(self.open_calls.pop(event.index))
            case "message_delta":
                self._stop(event.delta)
                self._count(event.usage)
            case "message_stop":
                self.ended = True

    def read(self, message: Any) -> Iterator[ModelChunk]:
        """A message that came in one piece."""
        for index, block in enumerate(message.content):
            yield from self._start(index, block)
        for call in self.open_calls.values():
            yield from self._call(call)
        self._count(message.usage)
        self._stop(message)
        self.ended = True

    def finish(self) -> ModelChunk:
        """The last chunk. Raises when there is no answer that may be acted on."""
        usage = self._usage()
        if not self.ended:
            raise TransientModelError(
                f"the answer of {self.model} was cut off", provider="anthropic", usage=usage.model_dump()
            )
        if self.reason == "refusal":
            raise self._refused(usage)
        if self.broken:
            raise self._unreadable_call(usage)
        reason = _REASONS.get(self.reason or "", self.reason) or ("tool_use" if self.called else "stop")
        return ModelChunk(kind="finish", finish_reason=reason, usage=usage)

    def _start(self, index: int, block: Any) -> Iterator[ModelChunk]:
        if block.type == "text" and block.text:
            yield ModelChunk(kind="text", text=block.text)
        elif block.type == "tool_use":
            self.open_calls[index] = _Call(block.id, block.name, block.input)

    def _delta(self, index: int, delta: Any) -> Iterator[ModelChunk]:
        if delta.type == "text_delta" and delta.text:
            yield ModelChunk(kind="text", text=delta.text)
        elif delta.type == "input_json_delta" and index in self.open_calls:
            self.open_calls[index].parts.append(delta.partial_json)

    def _call(self, call: _Call) -> Iterator[ModelChunk]:
        name = self.names.get(call.tool, call.tool)
        try:
            args = call.args()
        except ValueError:
            self.broken = name
            return
        self.called = True
        yield ModelChunk(kind="tool_call", tool_call=ToolCall(id=call.id, tool=name, args=args))

    def _stop(self, source: Any) -> None:
        self.reason = source.stop_reason or self.reason
        self.refusal = getattr(source, "stop_details", None) or self.refusal

    def _count(self, usage: Any) -> None:
        for name in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
            self.counts[name] = max(self.counts.get(name, 0), getattr(usage, name, None) or 0)

    def _usage(self) -> Usage:
        tokens = self.counts.get("input_tokens", 0), self.counts.get("output_tokens", 0)
        cached = self.counts.get("cache_read_input_tokens", 0)
        written = self.counts.get("cache_creation_input_tokens", 0)
        cost = estimate_cost(
            self.model, *tokens, cached_input_tokens=cached, cache_write_tokens=written, cache_ttl=self.cache_ttl
        )
        return Usage(
            input_tokens=tokens[0],
            output_tokens=tokens[1],
            cached_input_tokens=cached,
            cache_write_tokens=written,
            cost_usd=cost or 0.0,
            unpriced=cost is None or not any(tokens),
        )

    def _refused(self, usage: Usage) -> ModelError:
        category = getattr(self.refusal, "category", None)
        words = getattr(self.refusal, "explanation", None) or "no reason given"
        return ContentFilterError(
            f"{self.model} refused to answer: {words}",
            provider="anthropic",
            category=category,
            usage=usage.model_dump(),
        )

    def _unreadable_call(self, usage: Usage) -> ModelError:
        """A call that cannot be read is never made with half its arguments."""
        facts: dict[str, Any] = {"provider": "anthropic", "tool": self.broken, "usage": usage.model_dump()}
        if self.reason == "max_tokens":
            return PermanentModelError(
                f"{self.model} reached max_tokens={self.max_tokens} inside a call of {self.broken!r}; allow more",
                **facts,
            )
        return TransientModelError(
            f"{self.model} called {self.broken!r} with arguments that are no JSON object", **facts
        )


def _joined(chunks: list[ModelChunk]) -> Completion:
    text = "".join(chunk.text or "" for chunk in chunks)
    calls = [chunk.tool_call for chunk in chunks if chunk.tool_call]
    return text, calls, chunks[-1].usage or Usage(), chunks[-1].finish_reason or "stop"
