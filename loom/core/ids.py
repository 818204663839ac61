"""Ids and hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from loom.ids import deterministic_hash as deterministic_hash
    from loom.ids import new_id as new_id

HOMES = {
    "deterministic_hash": "loom.ids",
    "new_id": "loom.ids",
}

__all__ = [
    "deterministic_hash",
    "new_id",
]

__getattr__, __dir__ = door(__name__, HOMES)
