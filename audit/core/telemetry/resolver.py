"""What makes telemetry of a word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.core.redaction import Redactor
from audit.core.telemetry.base import NoTelemetry, Telemetry
from audit.core.telemetry.otel import OTelTelemetry
from audit.core.telemetry.redacted import RedactedTelemetry
from audit.core.telemetry.sinks import ConsoleTelemetry, FileTelemetry, InMemoryTelemetry
from loom.errors import ConfigError, unknown

_OPTIONS: Mapping[str, frozenset[str]] = {
    "none": frozenset(),
    "noop": frozenset(),
    "memory": frozenset(),
    "inmemory": frozenset(),
    "console": frozenset(),
    "file": frozenset({"path"}),
    "otel": frozenset({"instrumentation_name", "tracer_provider", "meter_provider"}),
}


def resolve_telemetry(spec: Any, *, redactor: Redactor | None = None) -> Telemetry:
    """Telemetry of None, a word, a mapping or an instance. Raises ConfigError for anything else.

    Words: `none`, `memory`, `console`, `otel`, `file:<path>`. A mapping has the word under `backend`, `type` or `name`.
    With a redactor its secrets are kept out, besides what looks like one anyway.
    """
    telemetry = _resolved(spec)
    if redactor is None or isinstance(telemetry, NoTelemetry):
        return telemetry
    return RedactedTelemetry(telemetry, redactor)


def _resolved(spec: Any) -> Telemetry:
    if spec is None:
        return NoTelemetry()
    if isinstance(spec, str):
        word, _, path = spec.partition(":")
        return _made(word, {"path": path} if path else {})
    if isinstance(spec, Mapping):
        return _from_mapping(spec)
    if isinstance(spec, Telemetry) and not isinstance(spec, type):
        return spec
    raise ConfigError(f"telemetry: {spec!r} is no word, mapping or object with trace() and emit_metric()")


def _from_mapping(spec: Mapping[str, Any]) -> Telemetry:
    named = [key for key in ("backend", "type", "name") if key in spec]
    if len(named) != 1:
        raise ConfigError("telemetry: say the backend once, under backend, type or name")
    return _made(str(spec[named[0]]), {key: value for key, value in spec.items() if key != named[0]})


def _made(word: str, options: Mapping[str, Any]) -> Telemetry:
    if word not in _OPTIONS:
        raise ConfigError(f"telemetry: no backend {word!r}; there are none, memory, console, otel, file:<path>")
    for key in options:
        if key not in _OPTIONS[word]:
            raise unknown(f"telemetry {word!r}", key, ("backend", *_OPTIONS[word]))
    match word:
        case "file":
            if not options.get("path"):
                raise ConfigError("telemetry: file needs a path, e.g. file:spans.jsonl")
            return FileTelemetry(options["path"])
        case "otel":
            return OTelTelemetry(**options)
        case "console":
            return ConsoleTelemetry()
        case "memory" | "inmemory":
            return InMemoryTelemetry()
        case _:
            return NoTelemetry()
