"""What the adapters share about effort: what to do when a model has no such thing."""

from __future__ import annotations

import warnings

from loom.errors import ConfigError

_warned: set[tuple[str, str]] = set()


class EffortNotSupportedError(ConfigError, ValueError):
    """The model cannot be asked for this effort."""


def refuse_effort(model: str, effort: str, *, strict: bool, reason: str = "") -> None:
    """Say that a model has no such effort: an error when strict, else one warning per model and effort."""
    text = f"model {model!r} does not support effort={effort!r}{': ' + reason if reason else ''}"
    if strict:
        raise EffortNotSupportedError(f"{text}; leave effort out or choose another model", model=model, effort=effort)
    if (model, effort) not in _warned:
        _warned.add((model, effort))
        warnings.warn(f"{text}; it is left out", UserWarning, stacklevel=3)
