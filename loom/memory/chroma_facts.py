"""Facts in Chroma."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.backends.chroma.facts import ChromaFactStore as ChromaFactStore

HOMES = {
    "ChromaFactStore": "memory.core.backends.chroma.facts",
}

__all__ = [
    "ChromaFactStore",
]

__getattr__, __dir__ = door(__name__, HOMES)
