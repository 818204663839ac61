"""Memory on a server that is reached when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.lazy import LazyMemory as LazyMemory

HOMES = {
    "LazyMemory": "memory.core.lazy",
}

__all__ = [
    "LazyMemory",
]

__getattr__, __dir__ = door(__name__, HOMES)
