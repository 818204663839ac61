"""What is said between a person, a model and a tool."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache, partial
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from loom.ids import deterministic_hash, new_id

FROZEN = ConfigDict(frozen=True)

Effort = Literal["minimal", "low", "medium", "high", "xhigh", "max"]
Effect = Literal["read", "idempotent", "keyed", "irreversible", "transactional"]


utcnow = partial(datetime.now, UTC)  # a run asks some thirty times


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Image(BaseModel):
    """A picture in a message: base64 data with its media type, or the URL of one."""

    model_config = FROZEN

    media_type: str = "image/png"
    data: str | None = None
    url: str | None = None


class ToolDef(BaseModel):
    """A tool as a model sees it. `input_schema` is JSON Schema 2020-12; `server` names the MCP server it comes from."""

    model_config = FROZEN

    name: str
    description: str
    input_schema: dict[str, Any] = Field(default_factory=dict)
    server: str | None = None
    destructive: bool = False
    effect: Effect = "keyed"
    approval: bool | None = None  # True: a person before every call; False: never; None: the rules decide


class ToolCall(BaseModel):
    """One call that a model asks for."""

    model_config = FROZEN

    id: str = Field(default_factory=lambda: new_id("tcall"))
    tool: str
    args: dict[str, Any] = Field(default_factory=dict)
    tool_def: ToolDef | None = None
    destructive: bool = False

    def is_destructive(self) -> bool:
        """Whether the call or the tool it names says so: the tool's own word counts, not only the model's."""
        return self.destructive or (self.tool_def is not None and self.tool_def.destructive)

    def shown(self) -> ToolCall:
        """The call with arguments of its own, for code that is asked about it: to change them changes nothing."""
        return self.model_copy(update={"args": deepcopy(self.args)})

    def idempotency_key(self) -> str:
        return deterministic_hash(self.tool, self.args)

    def journal(self) -> dict[str, Any]:
        """What is written down before the call. Tool and arguments are the step's fingerprint; the effect says what a
        crash during the call means."""
        effect = {"effect": self.tool_def.effect} if self.tool_def is not None else {}
        return {"tool": self.tool, "args": self.args, **effect}


class ToolResult(BaseModel):
    """How a call ended. Exactly one of output, error or denial; errors and denials are told to the model."""

    call_id: str
    ok: bool
    output: Any = None
    error: str | None = None
    denied: bool = False
    reason: str | None = None
    duration_ms: float | None = None
    started_at: datetime = Field(default_factory=utcnow)

    @classmethod
    def success(cls, call_id: str, output: Any, **kwargs: Any) -> ToolResult:
        return cls(call_id=call_id, ok=True, output=output, **kwargs)

    @classmethod
    def error_(cls, call_id: str, message: str, **kwargs: Any) -> ToolResult:
        return cls(call_id=call_id, ok=False, error=message, **kwargs)

    @classmethod
    def denied_(cls, call_id: str, reason: str, **kwargs: Any) -> ToolResult:
        return cls(call_id=call_id, ok=False, denied=True, reason=reason, **kwargs)

    def __written__(self) -> dict[str, Any]:
        return without_defaults(self, "output")

    def text(self) -> str:
        """What the model reads."""
        if self.ok:
            return self.output if isinstance(self.output, str) else _readable(self.output)
        return f"DENIED: {self.reason}" if self.denied else f"ERROR: {self.error}"


def without_defaults(value: BaseModel, *always: str) -> dict[str, Any]:
    """The fields that say something, and these. What a journal keeps of a value: reading it back fills in the rest."""
    defaults = _defaults(type(value))
    return {name: held for name, held in vars(value).items() if name in always or held != defaults[name]}


@cache
def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    return {name: field.default for name, field in model.model_fields.items()}


class Message(BaseModel):
    """One line of a conversation."""

    model_config = FROZEN

    role: Role
    content: str
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    images: tuple[Image, ...] = ()


class Usage(BaseModel):
    """Tokens and money of model calls. `input_tokens` excludes the cached ones: the three input buckets add up."""

    model_config = FROZEN

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    unpriced: bool = False  # at least one call had no known price: cost_usd is a lower bound
    model: str = ""  # which model answered, where it may be another than the one asked; a sum has none

    def __add__(self, other: Usage) -> Usage:
        if self is NO_USAGE and not other.model:
            return other
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            cached_input_tokens=self.cached_input_tokens + other.cached_input_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost_usd=self.cost_usd + other.cost_usd,
            unpriced=self.unpriced or other.unpriced,
        )


NO_USAGE = Usage()


class ModelChunk(BaseModel):
    """A piece of a streamed answer. The last one is `finish` and carries the usage."""

    kind: Literal["text", "tool_call", "finish"]
    text: str | None = None
    tool_call: ToolCall | None = None
    finish_reason: str | None = None
    usage: Usage | None = None


class PromptCacheConfig(BaseModel):
    """Whether and how long the provider may cache the prompt."""

    model_config = FROZEN

    enabled: bool = False
    ttl: Literal["5m", "1h"] = "5m"
    cache_key: str | None = None


def _readable(value: Any) -> str:
    """JSON for values with a JSON form, so that a model reads `{"a": 1}` and not a Python repr.

    A value whose form is a text, such as a date, reads as that text: so it does when it comes out of a journal.
    """
    from pydantic_core import from_json, to_json

    if value is None:
        return ""
    try:
        form = to_json(value)
    except ValueError:
        return str(value)
    return from_json(form) if form.startswith(b'"') else form.decode()
