"""Memory on a Redis or Valkey server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.backends.redis.memory import RedisMemory as RedisMemory

HOMES = {
    "RedisMemory": "memory.core.backends.redis.memory",
}

__all__ = [
    "RedisMemory",
]

__getattr__, __dir__ = door(__name__, HOMES)
