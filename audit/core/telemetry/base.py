"""What the loop needs from telemetry."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, Field

from audit.core.redaction import Redactor
from loom.messages import utcnow

InstrumentKind = Literal["counter", "histogram"]

_REDACTOR = Redactor()
_AS_THEY_ARE = frozenset({bool, int, float})


class Span(BaseModel):
    """A piece of work under way. What is put into `attributes` before its end is kept with it.

    The attribute `error_type` says that the work failed without raising.
    """

    name: str
    trace_id: str
    span_id: str
    started_at: datetime = Field(default_factory=utcnow)
    attributes: dict[str, Any] = Field(default_factory=dict)


@runtime_checkable
class Telemetry(Protocol):
    """Where spans and metrics go. Spans nest by the task they are opened in. Attributes that are None are dropped."""

    def trace(self, name: str, **attrs: Any) -> AbstractAsyncContextManager[Span]: ...

    async def emit_metric(self, name: str, value: float, **attrs: Any) -> None: ...


class NoTelemetry:
    """Nothing is measured. The loop knows this one and does not even ask it."""

    @asynccontextmanager
    async def trace(self, name: str, **attrs: Any) -> AsyncIterator[Span]:
        yield Span(name=name, trace_id="", span_id="")

    async def emit_metric(self, name: str, value: float, **attrs: Any) -> None:
        return None


@lru_cache(maxsize=1024)
def kind_of(metric: str) -> InstrumentKind:
    """Durations and sizes are distributions; everything else is counted."""
    return "histogram" if metric.endswith(("_ms", "_seconds", "_bytes")) else "counter"


@lru_cache(maxsize=1024)
def trace_id_of(run_id: str) -> str:
    """One trace for one run, whichever worker goes on with it."""
    return hashlib.sha256(run_id.encode()).hexdigest()[:32]


def cleaned(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as they may leave the process: without None, without secrets, in JSON form."""
    return {
        name: value if type(value) in _AS_THEY_ARE else _clean(value)
        for name, value in attributes.items()
        if value is not None
    }


def labels(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that a metric may be told apart by.

    Each value of a label is a time series of its own, so ids of sessions, runs, users and calls are left out.
    """
    return cleaned({name: value for name, value in attributes.items() if not _is_id(name)})


def error_text(error: BaseException) -> str:
    return _REDACTOR.text(f"{type(error).__name__}: {error}")


def _clean(value: Any) -> Any:
    return _REDACTOR.text(value) if type(value) is str else _REDACTOR.redact(value)


@lru_cache(maxsize=1024)
def _is_id(name: str) -> bool:
    return name in {"id", "user", "session", "run", "call", "turn", "step_key"} or name.endswith(("_id", ".id"))
