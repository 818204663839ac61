"""Where the steps of runs are remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.runtime.base import InProcRuntime as InProcRuntime
    from agents.core.runtime.base import InProcSession as InProcSession
    from agents.core.runtime.journal import Journal as Journal
    from agents.core.runtime.journal import JournalSession as JournalSession
    from agents.core.runtime.resolver import resolve_runtime as resolve_runtime

HOMES = {
    "InProcRuntime": "agents.core.runtime.base",
    "InProcSession": "agents.core.runtime.base",
    "Journal": "agents.core.runtime.journal",
    "JournalSession": "agents.core.runtime.journal",
    "resolve_runtime": "agents.core.runtime.resolver",
}

__all__ = [
    "InProcRuntime",
    "InProcSession",
    "Journal",
    "JournalSession",
    "resolve_runtime",
]

__getattr__, __dir__ = door(__name__, HOMES)
