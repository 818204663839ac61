"""Every provider that LiteLLM speaks to."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from decimal import Decimal
from functools import cache
from typing import Any

from agents.core.llm.base import Completion
from agents.core.llm.openai import OpenAIModel
from agents.core.llm.openai_request import build_request
from agents.core.llm.pricing import Price, read_price
from agents.core.llm.retrying import closing
from loom.errors import TransientModelError
from loom.messages import Message, ModelChunk, Usage

# Where the name of a provider's key is not `<PROVIDER>_API_KEY`.
_KEY_NAMES = {
    "cohere_chat": "COHERE_API_KEY",
    "fireworks_ai": "FIREWORKS_API_KEY",
    "meta_llama": "LLAMA_API_KEY",
    "ollama_chat": "OLLAMA_API_KEY",
    "perplexity": "PERPLEXITYAI_API_KEY",
    "together_ai": "TOGETHERAI_API_KEY",
}
# What some providers need besides a key: secret → LiteLLM's keyword.
_SETTINGS = {
    "azure": {"AZURE_API_BASE": "api_base", "AZURE_API_VERSION": "api_version"},
    "azure_ai": {"AZURE_AI_API_BASE": "api_base"},
    "bedrock": {
        "AWS_ACCESS_KEY_ID": "aws_access_key_id",
        "AWS_SECRET_ACCESS_KEY": "aws_secret_access_key",
        "AWS_SESSION_TOKEN": "aws_session_token",
        "AWS_REGION_NAME": "aws_region_name",
    },
}


class LiteLLMModel(OpenAIModel):
    """A model by its name at LiteLLM, such as `gemini/gemini-2.5-flash` or `bedrock/…`.

    One call is one HTTP request. The key is `api_key`, else `secrets`', else what LiteLLM finds in the environment.
    `litellm_kwargs` go along with every call (`api_base`, …); `input_cost_per_token` and `output_cost_per_token` among
    them are what the calls cost. `client` is anything with LiteLLM's `acompletion`, such as its Router. What a provider
    cannot be told is left out, unless `strict_effort` is asked for.
    """

    provider = "litellm"

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        client: Any | None = None,
        secrets: Any | None = None,
        **litellm_kwargs: Any,
    ) -> None:
        super().__init__(model.removeprefix("litellm/"), client=client, api_key=api_key, secrets=secrets)
        # LiteLLM would take these prices for the whole process, that is for every tenant.
        self._price = _agreed_price({name: litellm_kwargs.pop(name, None) for name in _PRICES})
        self._kwargs = litellm_kwargs

    async def complete(self, messages: list[Message], **options: Any) -> Completion:
        """The whole answer: text, tool calls, usage, finish reason."""
        text, calls, usage, reason = await super().complete(messages, **options)
        return text, calls, self._priced(usage), reason

    async def stream(self, messages: list[Message], **options: Any) -> AsyncIterator[ModelChunk]:
        """The answer in pieces; the last chunk is `finish`."""
        async with closing(super().stream(messages, **options)) as chunks:
            async for chunk in chunks:
                yield chunk.model_copy(update={"usage": self._priced(chunk.usage)}) if chunk.usage else chunk

    def request(self, messages: list[Message], **options: Any) -> dict[str, Any]:
        """The request's fields. Whether a model knows effort is LiteLLM's to say, so it is always sent."""
        request = build_request(self.name, messages, has_effort=True, **options)
        return {**request, "drop_params": not options.get("strict_effort")}

    async def send(self, request: dict[str, Any]) -> Any:
        """Send one request through LiteLLM, without repetitions of its own."""
        client = self._given or load_litellm()
        own = {"num_retries": 0, "max_retries": 0, **self._credentials(), **self._kwargs}
        answer = await client.acompletion(**request, **own)
        return _Pieces(answer) if request.get("stream") else _Lenient(answer)

    def _credentials(self) -> dict[str, Any]:
        provider = str(self._kwargs.get("custom_llm_provider") or self.name.partition("/")[0]).lower()
        names = {_KEY_NAMES.get(provider, f"{provider.upper()}_API_KEY"): "api_key", **_SETTINGS.get(provider, {})}
        found = {keyword: self._secrets.lookup_sync(name) for name, keyword in names.items()} if self._secrets else {}
        if self._api_key:
            found["api_key"] = self._api_key
        return {keyword: value for keyword, value in found.items() if value}

    def _priced(self, usage: Usage) -> Usage:
        """By the agreed price, else by our list, else by what LiteLLM knows."""
        if self._price is not None:
            cost = self._price.cost(
                usage.input_tokens,
                usage.output_tokens,
                cached_input_tokens=usage.cached_input_tokens,
                cache_write_tokens=usage.cache_write_tokens,
            )
            return usage.model_copy(update={"cost_usd": float(cost), "unpriced": False})
        if not usage.unpriced or not (usage.output_tokens or usage.input_tokens):
            return usage
        cost_usd = _known_to_litellm(self.name, usage)
        return usage.model_copy(update={"cost_usd": cost_usd, "unpriced": False}) if cost_usd else usage


_PRICES = ("input_cost_per_token", "output_cost_per_token")


def _agreed_price(costs: dict[str, Any]) -> Price | None:
    tokens, said = (costs[name] for name in _PRICES)
    if tokens is None and said is None:
        return None
    million = Decimal(1_000_000)
    return read_price({"in": Decimal(str(tokens or 0)) * million, "out": Decimal(str(said or 0)) * million})


def _known_to_litellm(model: str, usage: Usage) -> float:
    try:
        paid = load_litellm().cost_per_token(
            model=model,
            prompt_tokens=usage.input_tokens + usage.cached_input_tokens + usage.cache_write_tokens,
            completion_tokens=usage.output_tokens,
            cache_read_input_tokens=usage.cached_input_tokens,
            cache_creation_input_tokens=usage.cache_write_tokens,
        )
    except Exception:  # LiteLLM says in many ways that it does not know a model, also with a bare Exception
        return 0.0
    return float(sum(paid))


@cache
def load_litellm() -> Any:
    """LiteLLM, kept from what it does on import: fetching a price list, and reading a `.env` into the environment."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    import litellm  # takes seconds: only when a model is really called

    litellm.telemetry = False
    litellm.suppress_debug_info = True
    return litellm


class _Lenient:
    """An answer in which what LiteLLM leaves out is None, as it is with OpenAI."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name, None)
        if name == "cache_write_tokens" and value is None:
            value = getattr(self._inner, "cache_creation_tokens", None)
        return _lenient(value)


def _lenient(value: Any) -> Any:
    if isinstance(value, list):
        return [_lenient(item) for item in value]
    return value if value is None or isinstance(value, str | int | float) else _Lenient(value)


class _Pieces:
    """A streamed answer, closed at the end of its block."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        inner: Any = getattr(stream, "completion_stream", None)
        if any(cls.__name__ == "BaseModelResponseIterator" for cls in type(inner).__mro__):
            inner.streaming_response = _whole_lines(inner.streaming_response)

    async def __aenter__(self) -> _Pieces:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        close = getattr(self._stream, "aclose", None)
        if close is not None:
            await close()

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for piece in self._stream:
            yield _Lenient(piece)
        # LiteLLM ends every stream with a reason, also one that was cut off; here it keeps the one it heard.
        if getattr(self._stream, "received_finish_reason", "unknown") is None:
            raise TransientModelError("the answer was cut off", provider="litellm")


async def _whole_lines(lines: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """The lines of a stream of events, such that LiteLLM 1.83 loses none of them.

    It passes over a line that is no JSON, and takes one with `[DONE]` anywhere in it for the end. It also gets lines
    that were cut where a text has one of Unicode's line ends; these come out as newlines.
    """
    begun = ""
    async for piece in lines:
        if begun and piece.startswith("data:"):
            break
        line = f"{begun}\\n{piece}" if begun else piece
        begun = line if _is_cut(line) else ""
        if not begun:
            yield line.replace("[DONE]", "[DON\\u0045]") if _data_of(line) else line
    if begun:
        raise TransientModelError("a piece of the answer cannot be read", provider="litellm")


def _is_cut(line: Any) -> bool:
    try:
        json.loads(_data_of(line) or "{}")
    except ValueError:
        return True
    return False


def _data_of(line: Any) -> str:
    """The JSON of an event; nothing for the end of the stream, and for lines that have none."""
    data = line.removeprefix("data:").strip() if isinstance(line, str) and line.startswith("data:") else ""
    return "" if data == "[DONE]" else data
