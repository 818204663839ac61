"""Memory in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.backends.postgres.memory import PostgresMemory as PostgresMemory

HOMES = {
    "PostgresMemory": "memory.core.backends.postgres.memory",
}

__all__ = [
    "PostgresMemory",
]

__getattr__, __dir__ = door(__name__, HOMES)
