"""Runs that are written down nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.runtime.base import InProcRuntime as InProcRuntime
    from agents.core.runtime.base import InProcSession as InProcSession

HOMES = {
    "InProcRuntime": "agents.core.runtime.base",
    "InProcSession": "agents.core.runtime.base",
}

__all__ = [
    "InProcRuntime",
    "InProcSession",
]

__getattr__, __dir__ = door(__name__, HOMES)
