"""Memory in one SQLite file: it outlives the program and needs no server."""

from __future__ import annotations

from memory.core.backends import Options
from memory.core.backends.sqlite.memory import SqliteMemory

DEFAULT_PATH = "loom-memory.db"


def build(options: Options) -> SqliteMemory:
    """The memory of the spec `sqlite:<path>`."""
    return SqliteMemory(options.location or DEFAULT_PATH, embedder=options.embedder, with_facts=options.with_facts)
