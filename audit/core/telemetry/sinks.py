"""Telemetry that stays in the process, on the screen or in a file."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from audit.core.canonical import plain
from audit.core.telemetry.base import InstrumentKind, Span, Telemetry, cleaned, error_text, kind_of, labels, trace_id_of
from loom.ids import canonical
from loom.messages import utcnow


@dataclass(frozen=True)
class CapturedSpan:
    """A span that has ended. `exception` is the error that ended it, without secrets."""

    name: str
    trace_id: str
    span_id: str
    parent_span_id: str | None
    started_at: datetime
    ended_at: datetime
    duration_ms: float
    attributes: Mapping[str, Any] = field(default_factory=dict)
    exception: str | None = None


@dataclass(frozen=True)
class CapturedMetric:
    """One value of a metric."""

    name: str
    value: float
    instrument_kind: InstrumentKind
    attributes: Mapping[str, Any]
    emitted_at: datetime


# The open span of each sink in this task. One variable for all: a variable of each sink would outlive it.
_open: ContextVar[Mapping[int, Span]] = ContextVar("loom_open_spans", default={})  # noqa: B039 - never changed


class _Sink:
    """Hands on what a CapturedSpan and a CapturedMetric are made of; to make them takes as long as all else here."""

    def _on_span(self, span: tuple[Any, ...]) -> None:
        raise NotImplementedError

    def _on_metric(self, metric: tuple[Any, ...]) -> None:
        raise NotImplementedError

    def trace(self, name: str, **attrs: Any) -> AbstractAsyncContextManager[Span]:
        return _Tracing(self, name, attrs)

    async def emit_metric(self, name: str, value: float, **attrs: Any) -> None:
        self._on_metric((name, value, kind_of(name), labels(attrs), utcnow()))


class _Tracing:
    """A span of a sink from its beginning to its end: a class, since a run has many and a generator takes longer."""

    __slots__ = ("_attributes", "_before", "_began", "_name", "_parent", "_sink", "_span")

    def __init__(self, sink: _Sink, name: str, attributes: dict[str, Any]) -> None:
        self._sink, self._name, self._attributes = sink, name, attributes

    async def __aenter__(self) -> Span:
        self._before = _open.get()
        self._parent = self._before.get(id(self._sink))
        self._span = Span(
            name=self._name,
            trace_id=_trace_id(self._parent, self._attributes),
            span_id=_new_id(8),
            attributes=self._attributes,
        )
        _open.set({**self._before, id(self._sink): self._span})
        self._began = time.perf_counter()
        return self._span

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, *where: object) -> None:
        duration_ms = 1000 * (time.perf_counter() - self._began)
        _open.set(self._before)
        span, parent = self._span, self._parent
        captured = (
            span.name,
            span.trace_id,
            span.span_id,
            parent.span_id if parent else None,
            span.started_at,
            utcnow(),
            duration_ms,
            cleaned(span.attributes),
            error_text(error) if isinstance(error, Exception) else None,
        )
        self._sink._on_span(captured)


class InMemoryTelemetry(_Sink):
    """Keeps everything, for tests and notebooks. Spans are listed in the order in which they ended."""

    def __init__(self) -> None:
        self._spans: list[tuple[Any, ...]] = []
        self._metrics: list[tuple[Any, ...]] = []

    def spans(self) -> list[CapturedSpan]:
        return [CapturedSpan(*span) for span in self._spans]

    def metrics(self) -> list[CapturedMetric]:
        return [CapturedMetric(*metric) for metric in self._metrics]

    def clear(self) -> None:
        self._spans.clear()
        self._metrics.clear()

    def _on_span(self, span: tuple[Any, ...]) -> None:
        self._spans.append(span)

    def _on_metric(self, metric: tuple[Any, ...]) -> None:
        self._metrics.append(metric)


class ConsoleTelemetry(_Sink):
    """One line for each span when it ends, and for each metric. Writes to stderr unless told otherwise."""

    def __init__(self, *, stream: IO[str] | None = None, show_metrics: bool = True) -> None:
        self._stream = stream
        self._show_metrics = show_metrics

    def _on_span(self, captured: tuple[Any, ...]) -> None:
        span = CapturedSpan(*captured)
        failure = f"  ! {span.exception}" if span.exception else ""
        self._print(f"span   {span.name}  {span.duration_ms:.1f} ms{_listed(span.attributes)}{failure}")

    def _on_metric(self, captured: tuple[Any, ...]) -> None:
        if self._show_metrics:
            metric = CapturedMetric(*captured)
            self._print(f"metric {metric.name}  {metric.value:g}{_listed(metric.attributes)}")

    def _print(self, line: str) -> None:
        stream = self._stream or sys.stderr
        stream.write(line.replace("\n", "\\n") + "\n")
        stream.flush()


class FileTelemetry(_Sink):
    """JSON lines: `{"type": "span", …}` and `{"type": "metric", …}`. The file is opened at the first of them."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._file: IO[str] | None = None
        self._lock = threading.Lock()

    @property
    def path(self) -> Path:
        return self._path

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = None

    def _on_span(self, span: tuple[Any, ...]) -> None:
        self._write({"type": "span", **asdict(CapturedSpan(*span))})

    def _on_metric(self, metric: tuple[Any, ...]) -> None:
        self._write({"type": "metric", **asdict(CapturedMetric(*metric))})

    def _write(self, value: dict[str, Any]) -> None:
        line = canonical(plain(value)) + "\n"
        with self._lock:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("a", encoding="utf-8", buffering=1)
            self._file.write(line)

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            self.close()


class MultiTelemetry:
    """Several telemetries as one. Raises ValueError without any."""

    def __init__(self, sinks: Iterable[Telemetry]) -> None:
        self._sinks = tuple(sinks)
        if not self._sinks:
            raise ValueError("MultiTelemetry needs at least one sink")

    @asynccontextmanager
    async def trace(self, name: str, **attrs: Any) -> AsyncIterator[Span]:
        async with AsyncExitStack() as stack:
            first, *others = [await stack.enter_async_context(sink.trace(name, **attrs)) for sink in self._sinks]
            try:
                yield first
            finally:
                for span in others:
                    span.attributes.update(first.attributes)

    async def emit_metric(self, name: str, value: float, **attrs: Any) -> None:
        """Every sink gets the value; afterwards the first error is raised, if there was one."""
        errors: list[Exception] = []
        for sink in self._sinks:
            try:
                await sink.emit_metric(name, value, **attrs)
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]


def _trace_id(parent: Span | None, attributes: Mapping[str, Any]) -> str:
    if parent is not None:
        return parent.trace_id
    run_id = attributes.get("run_id")
    return trace_id_of(run_id) if run_id else _new_id(16)


def _new_id(size: int) -> str:
    """So many random bytes, in hex. Spans are told apart by it and nothing is guarded, so the kernel is not asked."""
    return f"{random.getrandbits(8 * size):0{2 * size}x}"


def _listed(attributes: Mapping[str, Any]) -> str:
    return "".join(f"  {name}={value}" for name, value in attributes.items())
