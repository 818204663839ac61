"""Facts in a SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.backends.sqlite.facts import SqliteFactStore as SqliteFactStore

HOMES = {
    "SqliteFactStore": "memory.core.backends.sqlite.facts",
}

__all__ = [
    "SqliteFactStore",
]

__getattr__, __dir__ = door(__name__, HOMES)
