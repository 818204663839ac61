"""OpenAI's models, and every server that speaks chat completions, through OpenAI's SDK."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from agents.core.llm.base import Completion
from agents.core.llm.clients import as_model_errors, without_retries
from agents.core.llm.connections import shared_http_client
from agents.core.llm.names import names_by_wire
from agents.core.llm.openai_request import build_request, is_reasoning
from agents.core.llm.pricing import estimate_cost
from loom.errors import (
    AuthenticationError,
    ContentFilterError,
    PermanentModelError,
    TransientModelError,
)
from loom.ids import new_id
from loom.messages import Message, ModelChunk, ToolCall, ToolDef, Usage

STALL_SECONDS = 60.0  # between two pieces of a stream
ANSWER_SECONDS = 600.0  # a model that thinks says nothing while it does

_REASONS = {"tool_calls": "tool_use", "function_call": "tool_use"}


class OpenAIModel:
    """A model behind a chat-completions API.

    One call is one HTTP request: repeating is left to `RetryingModel`. The key is `api_key`, else `secrets`' or the
    environment's OPENAI_API_KEY; the server is `base_url`, else OPENAI_BASE_URL, else OpenAI. An `output_schema` that
    strict mode cannot say is sent as a hint, and as words where it is no object.
    """

    supports_native_structured_output: bool = True
    provider = "openai"

    def __init__(
        self,
        model: str = "gpt-4o",
        *,
        client: Any = None,
        api_key: str | None = None,
        base_url: str | None = None,
        secrets: Any | None = None,
    ) -> None:
        self.name = model
        self._api_key, self._base_url, self._secrets = api_key, base_url, secrets
        self._given = without_retries(client, "openai")
        self._own: tuple[Any, Any] = (None, None)  # the pool of connections, and the client that uses it

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
        request = self.request(
            messages,
            tools=tools,
            temperature=temperature,
            max_tokens=max_tokens,
            output_schema=output_schema,
            effort=effort,
            strict_effort=strict_effort,
            prompt_caching=prompt_caching,
        )
        answer = self._answer(request, tools)
        with as_model_errors(self.name, self.provider):
            text = "".join(answer.read(await self.send({**request, "timeout": ANSWER_SECONDS})))
            calls, finish = answer.finish()
        return text, calls, finish.usage or Usage(), finish.finish_reason or "stop"

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
        """The answer in pieces. Tool calls come whole, after the text; the last chunk is `finish`."""
        request = self.request(
            messages,
            tools=tools,
            temperature=temperature,
            max_tokens=max_tokens,
            output_schema=output_schema,
            effort=effort,
            strict_effort=strict_effort,
            prompt_caching=prompt_caching,
        )
        answer = self._answer(request, tools)
        patience = ANSWER_SECONDS if is_reasoning(self.name) else STALL_SECONDS
        request |= {"stream": True, "stream_options": {"include_usage": True}, "timeout": patience}
        with as_model_errors(self.name, self.provider):
            async with await self.send(request) as events:
                async for event in events:
                    for text in answer.take(event):
                        yield ModelChunk(kind="text", text=text)
            calls, finish = answer.finish()
        for call in calls:
            yield ModelChunk(kind="tool_call", tool_call=call)
        yield finish

    # -- what an adapter for another client replaces

    def request(self, messages: list[Message], **options: Any) -> dict[str, Any]:
        """The request's fields, without those of streaming."""
        return build_request(self.name, messages, **options)

    async def send(self, request: dict[str, Any]) -> Any:
        """Send one request: a completion, or for `stream` an async iterator of pieces to be used with `async with`."""
        return await self._client().chat.completions.create(**request)

    # -- the rest

    def _answer(self, request: dict[str, Any], tools: list[ToolDef] | None) -> _Answer:
        limit = request.get("max_tokens") or request.get("max_completion_tokens")
        return _Answer(self.name, self.provider, limit, names_by_wire(tools))

    def _client(self) -> Any:
        if self._given is not None:
            return self._given
        pool = shared_http_client()
        if self._own[0] is not pool:
            self._own = (pool, self._connect(pool))
        return self._own[1]

    def _connect(self, pool: Any) -> Any:
        from openai import AsyncOpenAI  # slow to import: only when a model is really called

        base_url = self._base_url or os.environ.get("OPENAI_BASE_URL") or None
        key = self._api_key or (self._secrets.lookup_sync("OPENAI_API_KEY") if self._secrets else None)
        key = key or os.environ.get("OPENAI_API_KEY")
        if not key and base_url is None:
            raise AuthenticationError(
                f"no key for {self.name}: set OPENAI_API_KEY, or pass api_key= or secrets=", provider=self.provider
            )
        # Servers of one's own often want no key, but the SDK always does.
        return AsyncOpenAI(api_key=key or "none", base_url=base_url, http_client=pool, max_retries=0)


# -- reading an answer


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    parts: list[str] = field(default_factory=list)

    def add(self, piece: Any) -> None:
        self.id = self.id or piece.id or ""
        self.name = self.name or piece.function.name or ""
        self.parts.append(piece.function.arguments or "")

    def args(self) -> dict[str, Any]:
        """Raises ValueError when the pieces are no JSON object."""
        found = json.loads("".join(self.parts) or "{}")
        if not isinstance(found, dict):
            raise ValueError(f"not a JSON object: {found!r}")
        return found


@dataclass(slots=True)
class _Answer:
    """One answer as it comes in, whole or in pieces."""

    model: str
    provider: str
    max_tokens: int | None
    names: dict[str, str]
    reason: str = ""
    refusal: str = ""
    counted: Any = None
    calls: list[_Call] = field(default_factory=list)
    latest: dict[int | None, _Call] = field(default_factory=dict)  # the last call of each index

    def take(self, event: Any) -> Iterator[str]:
        """Take in a piece of a stream and hand out its text. What comes after the end is ignored, except the usage."""
        self.counted = event.usage or self.counted
        for choice in (event.choices or ())[:1]:
            if not self.reason:
                yield from self._said(choice.delta, self._call_of)
                self.reason = choice.finish_reason or ""

    def read(self, whole: Any) -> Iterator[str]:
        """Take in a whole answer and hand out its text."""
        self.counted = whole.usage
        choice = whole.choices[0] if whole.choices else None
        if choice is not None:
            yield from self._said(choice.message, self._new_call)
            self.reason = choice.finish_reason or ""

    def finish(self) -> tuple[list[ToolCall], ModelChunk]:
        """The calls and the last chunk. Raises when there is no answer that may be acted on."""
        facts: dict[str, Any] = {"provider": self.provider, "usage": self._usage().model_dump()}
        if self.refusal or self.reason == "content_filter":
            raise ContentFilterError(f"{self.model} refused to answer: {self.refusal or 'filtered'}", **facts)
        if not self.reason:
            raise TransientModelError(f"the answer of {self.model} was cut off", **facts)
        calls = [self._call(call, facts) for call in self.calls]
        reason = "tool_use" if calls else _REASONS.get(self.reason, self.reason)
        return calls, ModelChunk(kind="finish", finish_reason=reason, usage=self._usage())

    def _said(self, message: Any, call_of: Callable[[Any], _Call]) -> Iterator[str]:
        if message is None:
            return
        self.refusal += message.refusal or ""
        for piece in message.tool_calls or ():
            call_of(piece).add(piece)
        if message.content:
            yield message.content

    def _call_of(self, piece: Any) -> _Call:
        """The call that a piece of a stream goes on with or begins. Some servers number all calls 0, or none."""
        call = self.latest.get(piece.index)
        if call is None or _is_another(piece, call):
            call = self.latest[piece.index] = self._new_call()
        return call

    def _new_call(self, _: Any = None) -> _Call:
        self.calls.append(_Call())
        return self.calls[-1]

    def _call(self, call: _Call, facts: dict[str, Any]) -> ToolCall:
        """A call that cannot be read is never made with half its arguments."""
        name = self.names.get(call.name, call.name)
        try:
            return ToolCall(id=call.id or new_id("tc"), tool=name, args=call.args())
        except ValueError as error:
            if self.reason == "length":
                raise PermanentModelError(
                    f"{self.model} reached max_tokens={self.max_tokens} inside a call of {name!r}; allow more",
                    tool=name,
                    **facts,
                ) from error
            raise TransientModelError(
                f"{self.model} called {name!r} with arguments that are no JSON object", tool=name, **facts
            ) from error

    def _usage(self) -> Usage:
        """The three kinds of input apart: the API's `prompt_tokens` has them all in it."""
        if self.counted is None:
            return Usage(unpriced=True)
        details = getattr(self.counted, "prompt_tokens_details", None)
        cached = getattr(details, "cached_tokens", None) or 0
        written = getattr(details, "cache_write_tokens", None) or 0
        fresh = max((self.counted.prompt_tokens or 0) - cached - written, 0)
        said = self.counted.completion_tokens or 0
        cost = estimate_cost(self.model, fresh, said, cached_input_tokens=cached, cache_write_tokens=written)
        return Usage(
            input_tokens=fresh,
            cached_input_tokens=cached,
            cache_write_tokens=written,
            output_tokens=said,
            cost_usd=cost or 0.0,
            unpriced=cost is None,
        )


def _is_another(piece: Any, call: _Call) -> bool:
    """Whether a piece begins a call although its index is in use: it names a tool, under an id of its own."""
    if not piece.function.name:
        return False
    return piece.id != call.id if piece.id else piece.index is None
