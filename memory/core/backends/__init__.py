"""Where memories are kept. A backend is a module here with a `build(options)`, and a line in `BACKENDS` and in `TAKES`.

What those that outlive a program do alike is in `kept`.
"""

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
# What a spec can say to each, besides what it can say to all. What is of no use is refused: a namespace that is not
# looked at would mix those whom it was to keep apart.
TAKES: dict[str, frozenset[str]] = {
    "inmemory": frozenset(),
    "sqlite": frozenset({"location"}),
    "chroma": frozenset({"location", "namespace"}),
    "postgres": frozenset({"location", "namespace"}),
    "redis": frozenset({"location", "namespace", "key_prefix", "use_vector_index"}),
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
