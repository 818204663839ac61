"""Memory in a SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.backends.sqlite.memory import SqliteMemory as SqliteMemory

HOMES = {
    "SqliteMemory": "memory.core.backends.sqlite.memory",
}

__all__ = [
    "SqliteMemory",
]

__getattr__, __dir__ = door(__name__, HOMES)
