"""Several models in order: the next one answers when one cannot."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

from agents.core.llm.base import Completion, Model
from agents.core.llm.retrying import closing
from agents.core.llm.waste import told, waste_of, with_waste
from governance.core.retry import classify_model_error
from loom.errors import ContentFilterError, InvalidRequestError, ModelError
from loom.messages import NO_USAGE, Message, ModelChunk, Usage

logger = logging.getLogger(__name__)


class Fallback:
    """The first model, and the others in order when it is unavailable or will not serve us.

    Put `RetryingModel` inside, around each model. Another model is asked when this one is down, does not take our key
    or our account, is gone, or is too small for the request. It is not asked when the request itself is wrong, which it
    would be anywhere, or when the content was refused: a refusal is an answer, and to shop around for another is not
    ours to decide. A stream that has begun is never handed over. `usage.model` names the model that answered; the
    usage is that of all that were asked.
    """

    def __init__(self, first: Model, *others: Model) -> None:
        self.models = (first, *others)
        if all(hasattr(model, "complete") for model in self.models):
            self.complete = self._complete

    @property
    def name(self) -> str:
        return self.models[0].name

    @property
    def supports_native_structured_output(self) -> bool:
        """Only when all do: the prompt is written once, before it is known who answers."""
        return all(getattr(model, "supports_native_structured_output", False) for model in self.models)

    async def stream(self, messages: list[Message], **options: Any) -> AsyncIterator[ModelChunk]:
        started, waste = False, NO_USAGE
        for model, is_last in self._in_order():
            try:
                async with closing(model.stream(messages, **options)) as chunks:
                    async for chunk in chunks:
                        started = True
                        yield _signed(chunk, model, waste)
                return
            except Exception as exc:
                waste += waste_of(exc)
                self._hand_over(exc, model, waste, final=started or is_last)

    async def _complete(self, messages: list[Message], **options: Any) -> Completion:
        waste = NO_USAGE
        for model, is_last in self._in_order():
            try:
                text, calls, usage, reason = await model.complete(messages, **options)  # type: ignore[attr-defined]
                return text, calls, _named(usage, model, waste), reason
            except Exception as exc:
                waste += waste_of(exc)
                self._hand_over(exc, model, waste, final=is_last)
        raise AssertionError("the last model's failure is raised")

    def _in_order(self) -> Iterator[tuple[Model, bool]]:
        for number, model in enumerate(self.models, start=1):
            yield model, number == len(self.models)

    def _hand_over(self, exc: Exception, model: Model, waste: Usage, *, final: bool) -> None:
        """Return when the next model shall be asked. Raises otherwise, with what all of them have used."""
        error = classify_model_error(exc)
        if error is None:
            raise exc
        if final or not _concerns_only_this_model(error):
            raise told(error, waste) from (exc.__cause__ if error is exc else exc)
        logger.warning("%s: %s; asking the next model", model.name, error.code)


def _concerns_only_this_model(error: ModelError) -> bool:
    if isinstance(error, ContentFilterError):
        return False
    is_misfit = error.facts.get("status") == 404 or error.facts.get("too_long", False)
    return is_misfit or not isinstance(error, InvalidRequestError)


def _signed(chunk: ModelChunk, model: Model, waste: Usage) -> ModelChunk:
    return chunk.model_copy(update={"usage": _named(chunk.usage, model, waste)}) if chunk.usage else chunk


def _named(usage: Usage, model: Model, waste: Usage) -> Usage:
    named = usage if usage.model else usage.model_copy(update={"model": model.name})
    return with_waste(named, waste)
