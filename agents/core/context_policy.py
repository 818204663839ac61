"""How much of a conversation a model is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from agents.core.llm.tokens import Count, estimate_tokens
from loom.errors import ConfigError, unknown

MAX_RESULT_CHARS = 50_000


@dataclass(frozen=True, slots=True)
class ContextPolicy:
    """When a conversation is made smaller, how far, and how.

    `max_tokens` is the window: what the model reads at most in one call; None is the size that is known of the model,
    and no limit where none is. Above `act_above` of it the conversation is brought down to `shrink_to` of it, so that
    it happens rarely and the provider's prompt cache is of use in between. With `compact` the oldest part becomes a
    summary, which is one more model call; else, or where that is not enough, old tool results and then old turns are
    left out. The instructions, the first and the newest message of the user and the newest turn always stay.

    Tool results over `max_result_chars` are cut, with a mark that says so. `count` gives the tokens of a text.
    """

    max_tokens: int | None = None
    act_above: float = 0.8
    shrink_to: float = 0.5
    compact: bool = True
    max_result_chars: int | None = MAX_RESULT_CHARS
    count: Count = estimate_tokens

    def __post_init__(self) -> None:
        if not 0 < self.shrink_to < self.act_above <= 1:
            raise ValueError(
                f"0 < shrink_to < act_above <= 1, not shrink_to={self.shrink_to}, act_above={self.act_above}"
            )
        for name in ("max_tokens", "max_result_chars"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} is at least 1 or None, not {value}")


DEFAULT_POLICY = ContextPolicy()
_DATA = ("max_tokens", "act_above", "shrink_to", "compact", "max_result_chars")


def context_policy(spec: int | Mapping[str, Any] | ContextPolicy | None) -> ContextPolicy:
    """The policy that a spec names: the window in tokens, the fields that data can say, a policy itself, or None.

    None is the model's own window. Raises ConfigError for a mapping that makes no sense.
    """
    if spec is None:
        return DEFAULT_POLICY
    if isinstance(spec, ContextPolicy):
        return spec
    if isinstance(spec, Mapping):
        return _of_mapping(spec)
    if isinstance(spec, bool) or not isinstance(spec, int):
        raise TypeError(f"context_window is a number of tokens, a mapping, a ContextPolicy or None, not {spec!r}")
    return ContextPolicy(max_tokens=spec)


def _of_mapping(spec: Mapping[str, Any]) -> ContextPolicy:
    if wrong := [key for key in spec if key not in _DATA]:
        raise unknown("context_window", wrong[0], _DATA)
    try:
        return TypeAdapter(ContextPolicy).validate_python(dict(spec))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(["context_window", *map(str, first["loc"])])
        raise ConfigError(f"{where}: {first['msg'].removeprefix('Value error, ')}, not {first['input']!r}") from error


def excerpt(text: str, limit: int | None, tool: str) -> str:
    """A tool's result as far as it may go to the model: its beginning and its end, and a mark in between.

    The mark says how much is missing and how to get it.
    """
    if limit is None or len(text) <= limit:
        return text
    end = limit // 5
    mark = (
        f"[{len(text) - limit:,} of {len(text):,} characters were cut here. "
        f"To read the rest, call {tool} again with arguments that select the part you need.]"
    )
    return f"{text[: limit - end]}\n{mark}\n{text[len(text) - end :]}"
