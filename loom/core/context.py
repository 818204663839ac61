"""The run that code finds itself in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from loom.context import IsolationWarning as IsolationWarning
    from loom.context import RunContext as RunContext
    from loom.context import get_run_context as get_run_context
    from loom.context import set_run_context as set_run_context

HOMES = {
    "IsolationWarning": "loom.context",
    "RunContext": "loom.context",
    "get_run_context": "loom.context",
    "set_run_context": "loom.context",
}

__all__ = [
    "IsolationWarning",
    "RunContext",
    "get_run_context",
    "set_run_context",
]

__getattr__, __dir__ = door(__name__, HOMES)
