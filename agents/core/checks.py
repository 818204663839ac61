"""Whether an agent was given what it asked for: found out at construction, not in the middle of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from governance.core.hooks import HookRegistry
from loom.errors import ConfigError
from loom.messages import Effort

_EFFORTS = get_args(Effort)


def check_parts(
    *, budget: Any, retry_policy: Any, secrets: Any, hooks: Any, approval_handler: Any, stop_hooks: Iterable[Any] | None
) -> None:
    """Raises TypeError, naming the argument, for a part that cannot do what it is for."""
    if budget is not None:
        _check_methods("budget", budget, "allows_step", "consume")
    if retry_policy is not None:
        _check_methods("retry_policy", retry_policy, "is_enabled")
    if secrets is not None:
        _check_methods("secrets", secrets, "redact")
    if hooks is not None and not isinstance(hooks, HookRegistry):
        raise TypeError(f"hooks is a HookRegistry, not {hooks!r}")
    if approval_handler is not None:
        _check_callable("approval_handler", approval_handler)
    for hook in stop_hooks or ():
        _check_callable("stop_hooks", hook)


def _check_methods(name: str, part: Any, *methods: str) -> None:
    if missing := [method for method in methods if not hasattr(part, method)]:
        raise TypeError(f"{name} is {part!r}, which has no {', '.join(missing)}")


def _check_callable(name: str, part: Any) -> None:
    if not callable(part):
        raise TypeError(f"{name}: {part!r} cannot be called")


def check_count(name: str, value: Any, least: int) -> None:
    """Raises ValueError for what is no whole number of at least so many."""
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {least} or more, not {value!r}")


def check_text(name: str, value: Any) -> None:
    """Raises TypeError for what is no text, such as the id of a row as it comes from the database, and ValueError for
    a text that has no encoding."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is a text, not {value!r}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            where = f"{name} has half a surrogate pair at {error.start}"
            raise ValueError(f"{where}, which nothing can send or keep") from None


def check_effort(effort: Any) -> None:
    """Raises ConfigError for what is none of the efforts."""
    if effort is not None and effort not in _EFFORTS:
        raise ConfigError(f"effort is one of {', '.join(_EFFORTS)}, not {effort!r}", key="effort")
