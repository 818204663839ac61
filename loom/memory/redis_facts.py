"""Facts on a Redis or Valkey server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.backends.redis.facts import RedisFactStore as RedisFactStore

HOMES = {
    "RedisFactStore": "memory.core.backends.redis.facts",
}

__all__ = [
    "RedisFactStore",
]

__getattr__, __dir__ = door(__name__, HOMES)
