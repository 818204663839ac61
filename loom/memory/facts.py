"""Facts and where they are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.facts import InMemoryFactStore as InMemoryFactStore
    from memory.core.protocol import FactStore as FactStore

HOMES = {
    "FactStore": "memory.core.protocol",
    "InMemoryFactStore": "memory.core.facts",
}

__all__ = [
    "FactStore",
    "InMemoryFactStore",
]

__getattr__, __dir__ = door(__name__, HOMES)
