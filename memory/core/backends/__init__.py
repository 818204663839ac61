"""Where memories are kept. A backend is a module here with a `build(options)`, and one line in `BACKENDS`."""

from __future__ import annotations

from dataclasses import dataclass

from memory.core.protocol import Embedder

BACKENDS = {
    "inmemory": "memory.core.backends.in_memory:build",
    "sqlite": "memory.core.backends.sqlite:build",
    "chroma": "memory.core.backends.chroma:build",
    "postgres": "memory.core.backends.postgres:build",
    "redis": "memory.core.backends.redis:build",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a memory spec can say. A backend refuses, with ConfigError, what it needs and does not get.

    `location` is a path, a directory or a URL. Without an embedder recall goes by words.
    """

    location: str | None = None
    namespace: str | None = None
    key_prefix: str | None = None
    use_vector_index: bool = True
    with_facts: bool = True
    embedder: Embedder | None = None
