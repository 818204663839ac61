"""The filters of searches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.vector_stores.filters import FilterError as FilterError
    from memory.core.vector_stores.filters import matches_filter as matches_filter

HOMES = {
    "FilterError": "memory.core.vector_stores.filters",
    "matches_filter": "memory.core.vector_stores.filters",
}

__all__ = [
    "FilterError",
    "matches_filter",
]

__getattr__, __dir__ = door(__name__, HOMES)
