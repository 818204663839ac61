"""Memory on a Redis or Valkey server."""

from __future__ import annotations

from urllib.parse import quote

from memory.core.backends import Options
from memory.core.backends.location import shown
from memory.core.backends.redis.memory import DEFAULT_PREFIX, RedisMemory
from memory.core.backends.redis.server import DEFAULT_URL
from memory.core.lazy import LazyMemory


def build(options: Options) -> LazyMemory:
    """The memory of the spec `redis://…`. A namespace is a part of the prefix of all keys."""
    url, prefix = options.location or DEFAULT_URL, options.key_prefix or DEFAULT_PREFIX
    if options.namespace:
        prefix = f"{prefix}{quote(options.namespace, safe='')}:"

    async def connect() -> RedisMemory:
        return await RedisMemory.connect(
            url,
            embedder=options.embedder,
            key_prefix=prefix,
            use_vector_index=options.use_vector_index,
            with_facts=options.with_facts,
        )

    return LazyMemory(connect, description=shown(url), with_facts=options.with_facts)
