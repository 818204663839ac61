"""What model calls cost whose answers were of no use: refused, cut off, or not to be read. They are paid for too."""

from __future__ import annotations

from loom.errors import ModelError
from loom.messages import NO_USAGE, Usage


def waste_of(error: BaseException) -> Usage:
    """What the failed call has used, as far as its provider has told it."""
    said = error.facts.get("usage") if isinstance(error, ModelError) else None
    usage = Usage.model_validate(said) if isinstance(said, dict) else NO_USAGE
    tokens = usage.input_tokens + usage.cached_input_tokens + usage.cache_write_tokens + usage.output_tokens
    return usage if tokens else NO_USAGE


def with_waste(usage: Usage, waste: Usage) -> Usage:
    """What an answer and the failures before it have used; the model is the one that answered."""
    return usage if waste is NO_USAGE else (waste + usage).model_copy(update={"model": usage.model})


def told(error: ModelError, waste: Usage) -> ModelError:
    """The error with what it and the failures before it have used."""
    if waste is not NO_USAGE:
        error.facts["usage"] = waste.model_dump()
    return error
