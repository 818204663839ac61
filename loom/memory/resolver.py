"""A memory from a text or a mapping."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.resolver import resolve_memory as resolve_memory

HOMES = {
    "resolve_memory": "memory.core.resolver",
}

__all__ = [
    "resolve_memory",
]

__getattr__, __dir__ = door(__name__, HOMES)
