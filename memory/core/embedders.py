"""Text to vectors: one embedder that knows words but no meaning, and three services.

A service's client is imported on the first call; `client=` brings one's own, whose errors are passed on as they are.
"""

from __future__ import annotations

import hashlib
import random
from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from math import sqrt
from operator import add, mul
from typing import Any

from anyio.lowlevel import current_token

from loom.errors import ConfigError, Unavailable
from memory.core.extras import require
from memory.core.lexical import words

OPENAI_DIMENSIONS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
VOYAGE_DIMENSIONS = {
    "voyage-3": 1024,
    "voyage-3-large": 1024,
    "voyage-3-lite": 512,
    "voyage-3.5": 1024,
    "voyage-3.5-lite": 1024,
    "voyage-code-3": 1024,
}
COHERE_DIMENSIONS = {
    "embed-english-v3.0": 1024,
    "embed-multilingual-v3.0": 1024,
    "embed-english-light-v3.0": 384,
    "embed-multilingual-light-v3.0": 384,
}

_WHOLE = 0.5  # how much a text counts beside its words: texts of the same words are 0.8 alike


class HashEmbedder:
    """Words without meaning: texts are near as far as they share words. It needs no key, no network and no model.

    Every word has a direction of its own, drawn from its hash (a random projection of the bag of words), and so has the
    text as a whole: only equal texts are equal. The same text gets the same unit vector in every process.
    """

    def __init__(self, dimensions: int = 384) -> None:
        if dimensions <= 0:
            raise ValueError(f"dimensions must be more than 0, not {dimensions}")
        self.dimensions = dimensions
        self.name = f"hash-embedder-{dimensions}"

    async def embed(self, text: str) -> list[float]:
        found = sorted(set(words(text)))
        whole = _draw(text, self.dimensions)
        vector = [_WHOLE * sqrt(len(found)) * part for part in whole]
        for word in found:
            vector = list(map(add, vector, _direction(word, self.dimensions)))
        return _unit(vector) or whole

    async def embed_batch(self, texts: list[str]) -> list[list[float]]:
        return [await self.embed(text) for text in texts]


class OpenAIEmbedder:
    """Embeddings of OpenAI, or of a server that speaks its API. `dimensions` shortens the vectors of newer models."""

    def __init__(
        self,
        model: str = "text-embedding-3-small",
        *,
        dimensions: int | None = None,
        client: Any | None = None,
        api_key: str | None = None,
    ) -> None:
        self.name = model
        self.dimensions = dimensions or _dimensions(model, OPENAI_DIMENSIONS, "give dimensions=")
        self._shorten = {} if dimensions is None else {"dimensions": dimensions}
        self._given, self._api_key = client, api_key
        self._own: tuple[Any, Any] = (None, None)  # an event loop and its client: connections cannot move to another
        self._errors: tuple[type[Exception], ...] = ()

    async def embed(self, text: str) -> list[float]:
        return (await self.embed_batch([text]))[0]

    async def embed_batch(self, texts: list[str]) -> list[list[float]]:
        return await _in_batches(texts, 2048, self._request)

    async def _request(self, texts: list[str]) -> list[list[float]]:
        try:
            reply = await self._connect().embeddings.create(model=self.name, input=texts, **self._shorten)
        except self._errors as error:
            raise Unavailable(f"embedding with {self.name} failed: {error}", model=self.name) from error
        return [list(item.embedding) for item in sorted(reply.data, key=lambda item: item.index)]

    def _connect(self) -> Any:
        if self._given is not None:
            return self._given
        loop = current_token().native_token
        if self._own[0] is not loop:
            from openai import AsyncOpenAI, OpenAIError  # slow to import

            self._errors = (OpenAIError,)
            try:
                self._own = (loop, AsyncOpenAI(api_key=self._api_key))
            except OpenAIError as error:
                raise ConfigError(
                    f"no client for {self.name}: set OPENAI_API_KEY or give api_key= ({error})"
                ) from error
        return self._own[1]


class VoyageEmbedder:
    """Embeddings of Voyage AI. Use `input_type="query"` for what is searched with."""

    def __init__(
        self,
        model: str = "voyage-3",
        *,
        client: Any | None = None,
        api_key: str | None = None,
        input_type: str = "document",
    ) -> None:
        if client is None:
            require("voyageai", extra="voyage")
        self.name = model
        self.dimensions = _dimensions(model, VOYAGE_DIMENSIONS)
        self._client, self._api_key, self._input_type = client, api_key, input_type
        self._errors: tuple[type[Exception], ...] = ()

    async def embed(self, text: str) -> list[float]:
        return (await self.embed_batch([text]))[0]

    async def embed_batch(self, texts: list[str]) -> list[list[float]]:
        return await _in_batches(texts, 128, self._request)

    async def _request(self, texts: list[str]) -> list[list[float]]:
        if self._client is None:
            import voyageai  # type: ignore[import-not-found]  # an extra, and slow to import

            self._errors = (voyageai.error.VoyageError,)
            self._client = voyageai.AsyncClient(api_key=self._api_key)
        try:
            reply = await self._client.embed(texts, model=self.name, input_type=self._input_type)
        except self._errors as error:
            raise Unavailable(f"embedding with {self.name} failed: {error}", model=self.name) from error
        return [list(vector) for vector in reply.embeddings]


class CohereEmbedder:
    """Embeddings of Cohere. Use `input_type="search_query"` for what is searched with."""

    def __init__(
        self,
        model: str = "embed-english-v3.0",
        *,
        client: Any | None = None,
        api_key: str | None = None,
        input_type: str = "search_document",
    ) -> None:
        if client is None:
            require("cohere", extra="cohere")
        self.name = model
        self.dimensions = _dimensions(model, COHERE_DIMENSIONS)
        self._client, self._api_key, self._input_type = client, api_key, input_type
        self._errors: tuple[type[Exception], ...] = ()

    async def embed(self, text: str) -> list[float]:
        return (await self.embed_batch([text]))[0]

    async def embed_batch(self, texts: list[str]) -> list[list[float]]:
        return await _in_batches(texts, 96, self._request)

    async def _request(self, texts: list[str]) -> list[list[float]]:
        if self._client is None:
            import cohere  # type: ignore[import-not-found]  # an extra, and slow to import

            self._errors = (cohere.core.ApiError,)
            self._client = cohere.AsyncClient(self._api_key)
        try:
            reply = await self._client.embed(texts=texts, model=self.name, input_type=self._input_type)
        except self._errors as error:
            raise Unavailable(f"embedding with {self.name} failed: {error}", model=self.name) from error
        return [list(vector) for vector in reply.embeddings]


@lru_cache(maxsize=2048)
def _direction(word: str, dimensions: int) -> array[float]:
    return array("f", _draw(word, dimensions))


def _draw(text: str, dimensions: int) -> list[float]:
    dice = random.Random(hashlib.sha256(text.encode()).digest())
    return _unit([dice.gauss(0.0, 1.0) for _ in range(dimensions)])


def _unit(vector: list[float]) -> list[float]:
    """The vector with length one; empty when it has next to none, as when there are no words or they cancel out."""
    length = sqrt(sum(map(mul, vector, vector)))
    return [part / length for part in vector] if length > 1e-9 else []


async def _in_batches(
    texts: Sequence[str], size: int, request: Callable[[list[str]], Awaitable[list[list[float]]]]
) -> list[list[float]]:
    vectors: list[list[float]] = []
    for start in range(0, len(texts), size):
        vectors += await request(list(texts[start : start + size]))
    return vectors


def _dimensions(model: str, known: Mapping[str, int], way_out: str = "") -> int:
    if model not in known:
        raise ConfigError(f"no embedding model {model!r}; " + (way_out or f"one of {', '.join(known)}"), model=model)
    return known[model]
