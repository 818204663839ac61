"""Consolidation in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.consolidator import ConsolidationWorker as ConsolidationWorker

HOMES = {
    "ConsolidationWorker": "memory.core.consolidator",
}

__all__ = [
    "ConsolidationWorker",
]

__getattr__, __dir__ = door(__name__, HOMES)
