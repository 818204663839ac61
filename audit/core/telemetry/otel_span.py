"""A span of OpenTelemetry, from its beginning to its end. Importing this needs the package opentelemetry-api."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry import context, trace
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, Tracer

from audit.core.telemetry import semconv
from audit.core.telemetry.base import Span, cleaned, error_text, trace_id_of

_KINDS = {"client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}


class Tracing:
    """Work in a span that is the current one meanwhile. The attributes that a sampler decides by are there from the
    start; those that the work adds are set at its end."""

    __slots__ = ("_attributes", "_before", "_edition", "_name", "_ours", "_span", "_tracer")

    def __init__(self, tracer: Tracer, edition: semconv.Edition, name: str, attributes: dict[str, Any]) -> None:
        self._tracer, self._edition, self._name = tracer, edition, name
        self._attributes = cleaned(attributes)

    async def __aenter__(self) -> Span:
        self._before = context.get_current()
        span = self._span = self._started()
        context.attach(trace.set_span_in_context(span, self._before))
        known = span.get_span_context()
        self._ours = Span(
            name=self._name,
            trace_id=trace.format_trace_id(known.trace_id),
            span_id=trace.format_span_id(known.span_id),
            attributes=self._attributes,
        )
        return self._ours

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, *where: object) -> None:
        # Not detach: a generator that is closed from another task would only log an error there.
        context.attach(self._before)
        if self._span.is_recording():
            if isinstance(error, Exception):
                self._mark_failed(type(error).__name__, error_text(error))
            self._tell_more()
        self._span.end()

    def _started(self) -> trace.Span:
        form = semconv.SPANS.get(self._name)
        parent, links = _place_in_run(self._attributes.get("run_id"), self._before)
        return self._tracer.start_span(
            semconv.span_name(self._name, self._attributes),
            context=parent,
            kind=_KINDS[form.kind] if form else SpanKind.INTERNAL,
            attributes=self._named(self._attributes),
            links=links,
        )

    def _tell_more(self) -> None:
        """Set what has come to the attributes since the start, or may have been changed in place."""
        known = self._attributes
        more = cleaned(
            {
                name: value
                for name, value in self._ours.attributes.items()
                if value is not known.get(name) or not isinstance(value, str | int | float)
            }
        )
        if more:
            self._span.set_attributes(self._named(more))
        if failure := more.get("error_type", known.get("error_type")):
            self._mark_failed(str(failure), str(failure))

    def _named(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        return semconv.span_attributes(self._name, attributes, self._edition)

    def _mark_failed(self, error_type: str, text: str) -> None:
        self._span.set_attribute("error.type", error_type)
        self._span.set_status(Status(StatusCode.ERROR, text))


def _place_in_run(run_id: str | None, here: context.Context) -> tuple[context.Context, list[Link]]:
    """The context to start in: this one, unless this is where a run begins in this process."""
    current = trace.get_current_span(here).get_span_context()
    if not run_id or trace.format_trace_id(current.trace_id) == trace_id_of(run_id):
        return here, []
    seed = trace_id_of(run_id)
    root = SpanContext(
        trace_id=int(seed, 16),
        span_id=int(seed[:16], 16),
        is_remote=True,
        trace_flags=current.trace_flags if current.is_valid else TraceFlags(TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(root)), [Link(current)] if current.is_valid else []
