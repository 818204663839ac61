"""Facts in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.backends.postgres.facts import PostgresFactStore as PostgresFactStore

HOMES = {
    "PostgresFactStore": "memory.core.backends.postgres.facts",
}

__all__ = [
    "PostgresFactStore",
]

__getattr__, __dir__ = door(__name__, HOMES)
