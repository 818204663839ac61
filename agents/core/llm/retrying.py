"""A model that tries again."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio

from agents.core.llm.base import Completion, Model
from agents.core.llm.waste import told, waste_of, with_waste
from governance.core.retry import RetryPolicy, classify_model_error, compute_backoff
from loom.errors import ModelError, TransientModelError
from loom.messages import NO_USAGE, Message, ModelChunk, Usage

logger = logging.getLogger(__name__)


class RetryingModel:
    """The given model, with transient failures repeated as the policy says. The only layer that repeats model calls.

    A stream is repeated only before its first chunk: what a reader has seen is never sent or paid for twice. Known
    client exceptions leave as ModelErrors, anything else unchanged. A wait that would outlast the caller's deadline is
    not begun: the error is raised at once. Usage, of an answer or in an error's facts, is that of all attempts.
    """

    def __init__(
        self,
        inner: Model,
        policy: RetryPolicy | None = None,
        *,
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self.inner = inner
        self.policy = policy or RetryPolicy()
        self._sleep, self._rng = sleep, rng
        if hasattr(inner, "complete"):  # callers stream a model that has no `complete`
            self.complete = self._complete

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def supports_native_structured_output(self) -> bool:
        return getattr(self.inner, "supports_native_structured_output", False)

    async def stream(self, messages: list[Message], **options: Any) -> AsyncIterator[ModelChunk]:
        attempt, started, waste = 0, False, NO_USAGE
        while True:
            attempt += 1
            try:
                async with closing(self.inner.stream(messages, **options)) as chunks:
                    async for chunk in chunks:
                        started = True
                        yield chunk if waste is NO_USAGE else _with_waste(chunk, waste)
                    return
            except Exception as exc:
                waste += waste_of(exc)
                delay = self._delay(exc, attempt, waste, final=started)
            await self._sleep(delay)

    async def _complete(self, messages: list[Message], **options: Any) -> Completion:
        attempt, waste = 0, NO_USAGE
        while True:
            attempt += 1
            try:
                text, calls, usage, reason = await self.inner.complete(messages, **options)  # type: ignore[attr-defined]
                return text, calls, with_waste(usage, waste), reason
            except Exception as exc:
                waste += waste_of(exc)
                delay = self._delay(exc, attempt, waste)
            await self._sleep(delay)

    def _delay(self, exc: Exception, attempt: int, waste: Usage, *, final: bool = False) -> float:
        """How long to wait before the next attempt. Raises when there is none, with what all attempts have used."""
        error = classify_model_error(exc)
        if error is None:
            raise exc
        delay = self._wait(error, attempt) if not final else None
        if delay is None:
            raise told(error, waste) from (exc.__cause__ if error is exc else exc)
        logger.warning("%s: %s, attempt %d; again in %.1f s", self.name, error.code, attempt, delay)
        return delay

    def _wait(self, error: ModelError, attempt: int) -> float | None:
        if not isinstance(error, TransientModelError) or attempt >= self.policy.max_attempts:
            return None
        delay = compute_backoff(self.policy, attempt, retry_after=error.retry_after, rng=self._rng)
        return delay if anyio.current_time() + delay < anyio.current_effective_deadline() else None


def _with_waste(chunk: ModelChunk, waste: Usage) -> ModelChunk:
    return chunk.model_copy(update={"usage": with_waste(chunk.usage, waste)}) if chunk.usage else chunk


@asynccontextmanager
async def closing(stream: AsyncIterator[ModelChunk]) -> AsyncIterator[AsyncIterator[ModelChunk]]:
    """The stream, closed at the end of the block where it can be: a reader that leaves early frees the connection."""
    try:
        yield stream
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
