"""Telemetry that also keeps out the secrets that only their owner knows by sight."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

from audit.core.redaction import Redactor
from audit.core.telemetry.base import Span, Telemetry


class RedactedTelemetry:
    """Cleans attributes and the words of errors before the inner telemetry sees them."""

    def __init__(self, inner: Telemetry, redactor: Redactor) -> None:
        self._inner, self._redactor = inner, redactor

    @property
    def inner(self) -> Telemetry:
        return self._inner

    def trace(self, name: str, **attrs: Any) -> AbstractAsyncContextManager[Span]:
        return _Tracing(self._inner.trace(name, **self._clean(attrs)), self._clean, self._shown)

    async def emit_metric(self, name: str, value: float, **attrs: Any) -> None:
        await self._inner.emit_metric(name, value, **self._clean(attrs))

    def _clean(self, attributes: dict[str, Any]) -> dict[str, Any]:
        return {
            name: self._redactor.text(value) if isinstance(value, str) else value for name, value in attributes.items()
        }

    def _shown(self, error: Exception) -> Exception:
        """An error of the same name without secrets; the one that is raised on keeps its words."""
        name: str = type(error).__name__
        kind: type[Exception] = type(name, (Exception,), {})
        return kind(self._redactor.text(str(error)))


class _Tracing:
    """A span of the inner telemetry whose attributes and error are cleaned before it ends."""

    __slots__ = ("_clean", "_inner", "_shown", "_span")

    def __init__(
        self,
        inner: AbstractAsyncContextManager[Span],
        clean: Callable[[dict[str, Any]], dict[str, Any]],
        shown: Callable[[Exception], Exception],
    ) -> None:
        self._inner, self._clean, self._shown = inner, clean, shown

    async def __aenter__(self) -> Span:
        self._span = await self._inner.__aenter__()
        return self._span

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._span.attributes.update(self._clean(self._span.attributes))
        if isinstance(error, Exception):
            error = self._shown(error)
            kind = type(error)
        await self._inner.__aexit__(kind, error, where)
