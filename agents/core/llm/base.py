"""What the loop needs from a language model, and nothing about any provider."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol, runtime_checkable

from loom.messages import Message, ModelChunk, ToolCall, ToolDef, Usage

Completion = tuple[str, list[ToolCall], Usage, str]


@runtime_checkable
class Model(Protocol):
    """A language model.

    `complete` is optional; a model without it is streamed. `supports_native_structured_output` (default False) says
    that `output_schema` is enforced by the provider. A model that the lists of prices and sizes do not know says them
    in `price`, `max_input_tokens` and `max_output_tokens`, and counts its input in `count_input(messages)`, all
    optional. Failures are `loom.errors.ModelError`s.
    """

    @property
    def name(self) -> str: ...

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
    ) -> AsyncIterator[ModelChunk]: ...


class Completing(Model, Protocol):
    """A model that can also answer in one piece: text, tool calls, usage, finish reason."""

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
    ) -> Completion: ...
