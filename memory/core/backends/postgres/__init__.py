"""Memory in PostgreSQL, for programs of several processes: one database, as many namespaces as wanted."""

from __future__ import annotations

from loom.errors import ConfigError
from memory.core.backends import Options
from memory.core.backends.location import shown
from memory.core.lazy import LazyMemory

DEFAULT_NAMESPACE = "default"


def build(options: Options) -> LazyMemory:
    """The memory of the spec `postgresql://…`. Its tables are made when it is first used, unless they are there."""
    from memory.core.backends.postgres.database import check_dsn
    from memory.core.backends.postgres.memory import PostgresMemory

    dsn = options.location
    if not dsn:
        raise ConfigError("a memory in PostgreSQL needs its address: postgresql://user@host/database")
    check_dsn(dsn)

    async def connect() -> PostgresMemory:
        memory = await PostgresMemory.connect(
            dsn,
            embedder=options.embedder,
            namespace=DEFAULT_NAMESPACE if options.namespace is None else options.namespace,
            with_facts=options.with_facts,
        )
        try:
            await memory.init_schema()
        except BaseException:
            await memory.aclose()
            raise
        return memory

    return LazyMemory(connect, description=shown(dsn), with_facts=options.with_facts)
