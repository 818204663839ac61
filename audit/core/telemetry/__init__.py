"""Spans and metrics: what a run costs and where its time goes.

Inside, everything has the names of the public contract (`loom.run`, `loom.model.complete`, `loom.tokens.input`).
`OTelTelemetry` translates them to OpenTelemetry's conventions for generative AI by the tables in `semconv`.
Start at `base.Telemetry`; `observe` holds what the loop calls.
"""

from audit.core.telemetry.base import NoTelemetry, Span, Telemetry
from audit.core.telemetry.observe import agent_span, observe_model, observe_tool, turn_span
from audit.core.telemetry.otel import OTelTelemetry
from audit.core.telemetry.resolver import resolve_telemetry
from audit.core.telemetry.sinks import (
    CapturedMetric,
    CapturedSpan,
    ConsoleTelemetry,
    FileTelemetry,
    InMemoryTelemetry,
    MultiTelemetry,
)

__all__ = [
    "CapturedMetric",
    "CapturedSpan",
    "ConsoleTelemetry",
    "FileTelemetry",
    "InMemoryTelemetry",
    "MultiTelemetry",
    "NoTelemetry",
    "OTelTelemetry",
    "Span",
    "Telemetry",
    "agent_span",
    "observe_model",
    "observe_tool",
    "resolve_telemetry",
    "turn_span",
]
