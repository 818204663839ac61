"""Objects written for an older form of a protocol: noticed once, when they are handed in, never by trial and error.

Calling again without an argument after a `TypeError` would run the object twice, and would mistake an error inside it
for an old signature.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

from loom.context import LoomDeprecationWarning

_warned: set[tuple[str, str]] = set()


def takes(method: Callable[..., Any], argument: str) -> bool:
    """Whether a method can be called with this keyword. What has no readable signature is taken at its word."""
    try:
        parameters = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(
        parameter.kind is parameter.VAR_KEYWORD
        or (parameter.name == argument and parameter.kind is not parameter.POSITIONAL_ONLY)
        for parameter in parameters
    )


def warn_legacy_protocol(
    protocol: str, method: str, *, missing_kwarg: str = "user_id", removal: str = "1.0", stacklevel: int = 3
) -> None:
    """Say once per process that an implementation of a protocol lacks an argument."""
    if (protocol, method) in _warned:
        return
    _warned.add((protocol, method))
    warnings.warn(
        f"{protocol}.{method} does not take {missing_kwarg}=; it is called without it. "
        f"Add `{missing_kwarg}: str | None = None`: from version {removal} on it is required.",
        LoomDeprecationWarning,
        stacklevel=stacklevel,
    )
