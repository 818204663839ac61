"""Spans and metrics for any OpenTelemetry backend."""

from __future__ import annotations

import os
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from audit.core.telemetry import semconv
from audit.core.telemetry.base import Span, labels
from loom.errors import ConfigError


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

            from audit.core.telemetry.otel_span import Tracing
        except ImportError as error:
            raise ConfigError("OpenTelemetry is not installed: pip install opentelemetry-api") from error
        tracer = trace.get_tracer(instrumentation_name, tracer_provider=tracer_provider)
        self._meter = metrics.get_meter(instrumentation_name, meter_provider=meter_provider)
        self._edition = semconv.edition_of(os.environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", ""))
        self._tracing = partial(Tracing, tracer, self._edition)
        self._instruments: dict[str, Any] = {}

    def trace(self, name: str, **attrs: Any) -> AbstractAsyncContextManager[Span]:
        return self._tracing(name, attrs)

    async def emit_metric(self, name: str, value: float, **attrs: Any) -> None:
        form = semconv.metric_form(name, self._edition)
        attributes = semconv.metric_labels(form, labels(attrs), self._edition)
        instrument = self._instruments.get(form.name) or self._instrument(form)
        if form.kind == "histogram":
            instrument.record(value * form.factor, attributes)
        else:
            instrument.add(value * form.factor, attributes)

    def _instrument(self, form: semconv.MetricForm) -> Any:
        if form.kind == "histogram":
            made: Any = self._meter.create_histogram(
                form.name, unit=form.unit, explicit_bucket_boundaries_advisory=form.buckets
            )
        else:
            made = self._meter.create_counter(form.name, unit=form.unit)
        self._instruments[form.name] = made
        return made
