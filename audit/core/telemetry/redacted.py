"""Telemetry that also keeps out the secrets that only their owner knows by sight."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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

    @asynccontextmanager
    async def trace(self, name: str, **attrs: Any) -> AsyncIterator[Span]:
        tracing = self._inner.trace(name, **self._clean(attrs))
        span = await tracing.__aenter__()
        try:
            yield span
        except Exception as error:
            span.attributes.update(self._clean(span.attributes))
            shown = self._shown(error)
            await tracing.__aexit__(type(shown), shown, error.__traceback__)
            raise
        except BaseException as left:  # cancelled, or closed
            span.attributes.update(self._clean(span.attributes))
            await tracing.__aexit__(type(left), left, left.__traceback__)
            raise
        else:
            span.attributes.update(self._clean(span.attributes))
            await tracing.__aexit__(None, None, None)

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
