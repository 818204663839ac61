"""Spans and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from audit.core.telemetry import CapturedMetric as CapturedMetric
    from audit.core.telemetry import CapturedSpan as CapturedSpan
    from audit.core.telemetry import ConsoleTelemetry as ConsoleTelemetry
    from audit.core.telemetry import FileTelemetry as FileTelemetry
    from audit.core.telemetry import InMemoryTelemetry as InMemoryTelemetry
    from audit.core.telemetry import MultiTelemetry as MultiTelemetry
    from audit.core.telemetry import NoTelemetry as NoTelemetry
    from audit.core.telemetry import OTelTelemetry as OTelTelemetry
    from audit.core.telemetry import resolve_telemetry as resolve_telemetry

HOMES = {
    "CapturedMetric": "audit.core.telemetry",
    "CapturedSpan": "audit.core.telemetry",
    "ConsoleTelemetry": "audit.core.telemetry",
    "FileTelemetry": "audit.core.telemetry",
    "InMemoryTelemetry": "audit.core.telemetry",
    "MultiTelemetry": "audit.core.telemetry",
    "NoTelemetry": "audit.core.telemetry",
    "OTelTelemetry": "audit.core.telemetry",
    "resolve_telemetry": "audit.core.telemetry",
}

__all__ = [
    "CapturedMetric",
    "CapturedSpan",
    "ConsoleTelemetry",
    "FileTelemetry",
    "InMemoryTelemetry",
    "MultiTelemetry",
    "NoTelemetry",
    "OTelTelemetry",
    "resolve_telemetry",
]

__getattr__, __dir__ = door(__name__, HOMES)
