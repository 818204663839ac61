"""Spans and metrics for any OpenTelemetry backend."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from audit.core.telemetry import semconv
from audit.core.telemetry.base import Span, cleaned, error_text, labels, trace_id_of
from loom.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Link
    from opentelemetry.trace import Span as OTelSpan


class OTelTelemetry:
    """Hands spans and metrics to OpenTelemetry under the conventional names of `semconv`.

    Without providers the global ones are used, so nothing leaves the process unless an exporter is set up. A run is one
    trace, whichever worker goes on with it: the outermost span with a run id gets the trace id of that run, and a link
    to the trace that it was started in. Needs the package opentelemetry-api.
    """

    def __init__(
        self,
        *,
        tracer_provider: Any | None = None,
        meter_provider: Any | None = None,
        instrumentation_name: str = "loom",
    ) -> None:
        try:
            from opentelemetry import metrics, trace  # only for who wants it
        except ImportError as error:
            raise ConfigError("OpenTelemetry is not installed: pip install opentelemetry-api") from error
        self._tracer = trace.get_tracer(instrumentation_name, tracer_provider=tracer_provider)
        self._meter = metrics.get_meter(instrumentation_name, meter_provider=meter_provider)
        self._edition = semconv.edition_of(os.environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", ""))
        self._instruments: dict[str, Any] = {}

    @asynccontextmanager
    async def trace(self, name: str, **attrs: Any) -> AsyncIterator[Span]:
        from opentelemetry import context

        attributes = cleaned(attrs)
        span = self._started(name, attributes)
        known = span.get_span_context()
        ours = Span(
            name=name, trace_id=f"{known.trace_id:032x}", span_id=f"{known.span_id:016x}", attributes=dict(attributes)
        )
        before = context.get_current()
        context.attach(_with_span(span))
        try:
            yield ours
        except Exception as error:
            _mark_failed(span, type(error).__name__, error_text(error))
            raise
        finally:
            # Not detach: a generator that is closed from another task would only log an error there.
            context.attach(before)
            self._finish(span, name, ours.attributes)

    async def emit_metric(self, name: str, value: float, **attrs: Any) -> None:
        form = semconv.metric_form(name, self._edition)
        attributes = _otel(semconv.metric_labels(form, labels(attrs), self._edition))
        instrument = self._instruments.get(form.name) or self._instrument(form)
        if form.kind == "histogram":
            instrument.record(value * form.factor, attributes)
        else:
            instrument.add(value * form.factor, attributes)

    def _started(self, name: str, attributes: Mapping[str, Any]) -> OTelSpan:
        from opentelemetry import trace

        form = semconv.SPANS.get(name)
        kind = trace.SpanKind.CLIENT if form and form.kind == "client" else trace.SpanKind.INTERNAL
        parent, links = _place_in_run(attributes.get("run_id"))
        return self._tracer.start_span(
            semconv.span_name(name, attributes),
            context=parent,
            kind=kind,
            attributes=_otel(semconv.span_attributes(name, attributes, self._edition)),
            links=links,
        )

    def _finish(self, span: OTelSpan, name: str, attributes: Mapping[str, Any]) -> None:
        found = cleaned(attributes)
        span.set_attributes(_otel(semconv.span_attributes(name, found, self._edition)))
        if "error_type" in found:
            _mark_failed(span, str(found["error_type"]), str(found["error_type"]))
        span.end()

    def _instrument(self, form: semconv.MetricForm) -> Any:
        if form.kind == "histogram":
            made: Any = self._meter.create_histogram(
                form.name, unit=form.unit, explicit_bucket_boundaries_advisory=form.buckets
            )
        else:
            made = self._meter.create_counter(form.name, unit=form.unit)
        self._instruments[form.name] = made
        return made


def _place_in_run(run_id: str | None) -> tuple[Context | None, list[Link]]:
    """The context to start in: the current one, unless this is where a run begins in this process."""
    from opentelemetry import trace

    current = trace.get_current_span().get_span_context()
    if not run_id or f"{current.trace_id:032x}" == trace_id_of(run_id):
        return None, []
    seed = trace_id_of(run_id)
    root = trace.SpanContext(
        trace_id=int(seed, 16),
        span_id=int(seed[:16], 16),
        is_remote=True,
        trace_flags=current.trace_flags if current.is_valid else trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    links = [trace.Link(current)] if current.is_valid else []
    return trace.set_span_in_context(trace.NonRecordingSpan(root)), links


def _with_span(span: OTelSpan) -> Context:
    from opentelemetry import trace

    return trace.set_span_in_context(span)


def _mark_failed(span: OTelSpan, error_type: str, text: str) -> None:
    from opentelemetry import trace

    span.set_attribute("error.type", error_type)
    span.set_status(trace.Status(trace.StatusCode.ERROR, text))


def _otel(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes in the types that OpenTelemetry takes: plain values and lists of texts; the rest as JSON."""
    return {name: _otel_value(value) for name, value in attributes.items()}


def _otel_value(value: Any) -> Any:
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return list(value)
    return json.dumps(value, ensure_ascii=False)
