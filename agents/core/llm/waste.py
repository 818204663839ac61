"""What model calls cost whose answers were of no use: refused, cut off, or not to be read. They are paid for too."""

from __future__ import annotations

from loom.errors import ModelError
from loom.messages import NO_USAGE, Usage


def waste_of(error: Exception) -> Usage:
    """What the failed call has used, as far as its provider has told it."""
    told = error.facts.get("usage") if isinstance(error, ModelError) else None
    usage = Usage.model_validate(told) if isinstance(told, dict) else NO_USAGE
    return usage if usage.input_tokens or usage.cached_input_tokens or usage.output_tokens else NO_USAGE
