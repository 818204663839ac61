"""Whether an agent was given what it asked for: found out at construction, not in the middle of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from governance.core.hooks import HookRegistry
from loom.errors import ConfigError
from loom.messages import Effort

_EFFORTS = get_args(Effort)
_METHODS = {
    "budget": ("allows_step", "consume"),
    "retry_policy": ("is_enabled",),
    "secrets": ("redact",),
}


def check_parts(*, hooks: Any, approval_handler: Any, stop_hooks: Iterable[Any] | None, **parts: Any) -> None:
    """Raises TypeError, naming the argument, for a part that cannot do what it is for."""
    for name, part in parts.items():
        if part is not None and (missing := [method for method in _METHODS[name] if not hasattr(part, method)]):
            raise TypeError(f"{name} is {part!r}, which has no {', '.join(missing)}")
    if hooks is not None and not isinstance(hooks, HookRegistry):
        raise TypeError(f"hooks is a HookRegistry, not {hooks!r}")
    for name, part in (("approval_handler", approval_handler), *(("stop_hooks", hook) for hook in stop_hooks or ())):
        if part is not None and not callable(part):
            raise TypeError(f"{name}: {part!r} cannot be called")


def check_count(name: str, value: Any, least: int) -> None:
    """Raises ValueError for what is no whole number of at least so many."""
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {least} or more, not {value!r}")


def check_effort(effort: Any) -> None:
    """Raises ConfigError for what is none of the efforts."""
    if effort is not None and effort not in _EFFORTS:
        raise ConfigError(f"effort is one of {', '.join(_EFFORTS)}, not {effort!r}", key="effort")
