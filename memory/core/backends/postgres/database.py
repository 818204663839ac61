"""The database: a pool of connections, one transaction for each piece of work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from loom.errors import ConfigError, Invalid, MemoryStoreError
from memory.core.backends.location import shown
from memory.core.backends.postgres import tables
from memory.core.dropped import close_when_dropped

_PATIENCE_SECONDS = 10
_LOCK = 0x6C6F6F6D  # two programs that begin at once must not make the tables twice

# pgvector may lie in a schema that is not searched, and its index alone stops before it has found enough rows of one
# user. Statements this short are not worth compiling. All of it ends with the transaction.
_SEARCHING = """
SELECT set_config('jit', 'off', true), set_config('hnsw.iterative_scan', 'relaxed_order', true),
    set_config('search_path', concat_ws(', ', nullif(current_setting('search_path'), ''), (
        SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
        WHERE extname = 'vector')), true)
"""
_ARE_THERE = """
SELECT bool_and(to_regclass(quote_ident(name)) IS NOT NULL) FROM unnest(%(relations)s::text[]) AS name
UNION ALL
SELECT %(dimensions)s::integer IS NULL OR bool_and(EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass(quote_ident(name)) AND attname = 'embedding'))
FROM unnest(%(searched)s::text[]) AS name
"""


class Database:
    """A psycopg `AsyncConnectionPool`, which belongs to one event loop, with Loom's errors."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @classmethod
    async def connect(cls, dsn: str, *, min_size: int = 1, max_size: int = 10) -> Database:
        """Raises MemoryStoreError when the server does not answer, ConfigError for a DSN that cannot be read."""
        import psycopg
        from psycopg_pool import AsyncConnectionPool, PoolTimeout

        parts = check_dsn(dsn)
        pool: Any = AsyncConnectionPool(
            dsn,
            min_size=min_size,
            max_size=max_size,
            open=False,
            kwargs={"autocommit": True},
            check=AsyncConnectionPool.check_connection,  # a server that was restarted is used again at once
        )
        try:
            # A pool tries again and again and then tells nobody why.
            patience = parts.get("connect_timeout") or _PATIENCE_SECONDS
            await (await psycopg.AsyncConnection.connect(dsn, connect_timeout=patience)).close()
            await pool.open(wait=True, timeout=_PATIENCE_SECONDS)
        except (psycopg.OperationalError, PoolTimeout) as error:
            await pool.close()
            raise MemoryStoreError(f"PostgreSQL at {shown(dsn)} does not answer: {error}") from error
        except BaseException:
            await pool.close()
            raise
        database = cls(pool)
        close_when_dropped(database, pool.close)
        return database

    async def aclose(self) -> None:
        await self._pool.close()

    def is_same(self, other: Database) -> bool:
        return self._pool is other._pool

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection for one statement, which is a transaction of its own."""
        import psycopg
        from psycopg_pool import PoolClosed, PoolTimeout

        try:
            async with self._pool.connection(timeout=_PATIENCE_SECONDS) as connection:
                yield connection
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedObject) as error:
            missing = error.diag.message_primary
            raise ConfigError(f"PostgreSQL lacks what init_schema() makes: {missing}; await it once") from error
        except psycopg.DataError as error:
            raise Invalid(f"PostgreSQL cannot keep this: {error.diag.message_primary or error}") from error
        except (psycopg.Error, PoolTimeout, PoolClosed) as error:
            raise MemoryStoreError(f"PostgreSQL cannot be used: {error}") from error

    @asynccontextmanager
    async def transaction(self, *, searching: bool = False) -> AsyncIterator[Any]:
        """A connection for one transaction; with `searching`, one that is set up for searches and knows pgvector."""
        async with self.connection() as connection, connection.transaction():
            if searching:
                await connection.execute(_SEARCHING)
            yield connection

    async def make(self, names: Sequence[str], dimensions: int | None) -> None:
        """Make tables, with vectors of a size in those that are searched, unless all is there."""
        async with self.connection() as connection:
            there = await _are_there(connection, names, dimensions)
        if not there:
            await self.define(tables.statements(names, dimensions), vectors=dimensions is not None)

    async def define(self, statements: Sequence[str], *, vectors: bool) -> None:
        """Run statements that may be run again, also by others now. With `vectors`, pgvector is there."""
        async with self.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            if vectors:
                await _make_extension(connection)
                await connection.execute(_SEARCHING)
            for statement in statements:
                await connection.execute(statement)


def check_dsn(dsn: str) -> dict[str, Any]:
    """The parts of a DSN. Raises ConfigError for one that cannot be read."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        return conninfo_to_dict(dsn)
    except ProgrammingError:  # its message may quote the password
        raise ConfigError(f"{shown(dsn)!r} is no address of a PostgreSQL database") from None


def owner_of(user_id: str | None) -> str:
    """What a user, or nobody, is called in a row."""
    return "" if user_id is None else f"user:{user_id}"


async def _are_there(connection: Any, names: Sequence[str], dimensions: int | None) -> bool:
    asked = {
        "relations": tables.relations(names, dimensions),
        "dimensions": dimensions,
        "searched": [name for name in names if name != tables.BLOCK],
    }
    rows = await (await connection.execute(_ARE_THERE, asked)).fetchall()
    return all(there for (there,) in rows)


async def _make_extension(connection: Any) -> None:
    import psycopg.errors as failed

    found = await connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'vector'")
    if await found.fetchone() is not None:
        return
    try:
        await connection.execute(tables.EXTENSION)
    except (failed.InsufficientPrivilege, failed.FeatureNotSupported, failed.UndefinedFile) as error:
        raise ConfigError(
            f"an embedder needs pgvector in PostgreSQL, and it cannot be added ({error.diag.message_primary}):"
            " let an administrator install it and run CREATE EXTENSION vector, or give no embedder"
        ) from error
