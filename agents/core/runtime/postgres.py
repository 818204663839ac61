"""Journals in PostgreSQL, for programs that use the SDK without the platform."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from typing import Any, Self

from agents.core.runtime.blobs import WITH_BLOBS, pack
from agents.core.runtime.journaled import JournaledRuntime
from agents.core.runtime.store import (
    EVERYONE,
    Everyone,
    JournaledRun,
    JournalStore,
    Row,
    check_open,
    read_record,
)
from agents.core.runtime.writer import Append
from agents.core.runtime.written import storable, written
from loom.errors import ConfigError, Conflict, Unavailable

_PATIENCE_SECONDS = 10.0
_LOCK = 0x6C6F6F6D  # two programs that begin at once must not make the tables twice

_SCHEMA = [
    """
    CREATE TABLE IF NOT EXISTS loom_run (
        place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id text NOT NULL UNIQUE,
        user_id text,
        session_id text NOT NULL,
        input jsonb NOT NULL,
        resumable boolean NOT NULL,
        attempt integer NOT NULL DEFAULT 1,
        ended boolean NOT NULL DEFAULT false,
        started_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX IF NOT EXISTS loom_run_session ON loom_run (session_id, place)",
    "CREATE INDEX IF NOT EXISTS loom_run_unfinished ON loom_run (place) WHERE resumable AND NOT ended",
    """
    CREATE TABLE IF NOT EXISTS loom_journal (
        place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        run_id text NOT NULL,
        kind text NOT NULL,
        step_key text NOT NULL,
        data jsonb NOT NULL,
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        version smallint NOT NULL
    )
    """,
    "CREATE INDEX IF NOT EXISTS loom_journal_run ON loom_journal (run_id, place)",
    """
    CREATE TABLE IF NOT EXISTS loom_blob (
        run_id text NOT NULL,
        sha256 text NOT NULL,
        body text NOT NULL,
        PRIMARY KEY (run_id, sha256)
    )
    """,
]
_OPEN = """
INSERT INTO loom_run AS run (id, user_id, session_id, input, resumable)
VALUES (%(id)s, %(user_id)s, %(session_id)s, %(input)s, %(resumable)s)
ON CONFLICT (id) DO UPDATE SET attempt = run.attempt + 1
WHERE NOT run.ended AND run.user_id IS NOT DISTINCT FROM excluded.user_id
  AND run.session_id = excluded.session_id AND run.resumable = excluded.resumable
RETURNING attempt
"""
_KNOWN = "SELECT id, user_id, session_id, input, resumable, ended FROM loom_run WHERE id = %(id)s"
# The lock on the run's row makes an append and a take-over wait for one another, so a fence that was checked holds.
_APPEND = """
WITH asked AS (
    SELECT * FROM unnest(%(ids)s::text[], %(fences)s::integer[], %(ends)s::boolean[]) AS asked (id, fence, ends)
), held AS MATERIALIZED (
    SELECT run.id, asked.ends FROM loom_run AS run JOIN asked USING (id)
    WHERE asked.fence IS NULL OR asked.fence = run.attempt
    ORDER BY run.id FOR NO KEY UPDATE OF run
), ended AS (
    UPDATE loom_run AS run SET ended = true FROM held WHERE run.id = held.id AND held.ends
), written AS (
    INSERT INTO loom_journal (run_id, kind, step_key, data, version)
    SELECT record.run_id, record.kind, record.step_key, record.data::jsonb, record.version
    FROM unnest(%(run_ids)s::text[], %(kinds)s::text[], %(keys)s::text[], %(data)s::text[], %(versions)s::smallint[])
        WITH ORDINALITY AS record (run_id, kind, step_key, data, version, place)
    JOIN held ON held.id = record.run_id
    ORDER BY record.place
), kept AS (
    INSERT INTO loom_blob (run_id, sha256, body)
    SELECT blob.run_id, blob.sha256, blob.body
    FROM unnest(%(blob_run_ids)s::text[], %(digests)s::text[], %(bodies)s::text[]) AS blob (run_id, sha256, body)
    JOIN held ON held.id = blob.run_id
    ON CONFLICT DO NOTHING
)
SELECT id FROM held
"""
_READ = """
SELECT kind, step_key, data, version, extract(epoch FROM at)::double precision FROM loom_journal
WHERE run_id = %(run_id)s AND (%(step_key)s::text IS NULL OR step_key = %(step_key)s) ORDER BY place
"""
_BLOBS = "SELECT sha256, body FROM loom_blob WHERE run_id = %(run_id)s"
_UNFINISHED = """
SELECT id, user_id, session_id, input, resumable FROM loom_run AS run
WHERE resumable AND NOT ended
  AND (%(everyone)s OR user_id IS NOT DISTINCT FROM %(user_id)s::text)
  AND (%(session_id)s::text IS NULL OR session_id = %(session_id)s)
  AND NOT EXISTS (
    SELECT 1 FROM loom_run AS later
    WHERE later.session_id = run.session_id AND later.user_id IS NOT DISTINCT FROM run.user_id
      AND later.resumable AND later.place > run.place)
ORDER BY place
"""

_FORGET = """
WITH gone AS (
    DELETE FROM loom_run
    WHERE user_id IS NOT DISTINCT FROM %(user_id)s::text
      AND (%(session_id)s::text IS NULL OR session_id = %(session_id)s)
    RETURNING id
), records AS (
    DELETE FROM loom_journal USING gone WHERE run_id = gone.id
), blobs AS (
    DELETE FROM loom_blob USING gone WHERE run_id = gone.id
)
SELECT count(*) FROM gone
"""


class PostgresJournalStore(JournalStore):
    """Journals in two tables, over a psycopg `AsyncConnectionPool`, which belongs to one event loop."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @property
    def pool(self) -> Any:
        return self._pool

    @classmethod
    async def connect(cls, dsn: str, *, min_size: int = 1, max_size: int = 10) -> Self:
        """Raises Unavailable when the server does not answer. On a new database, call `init_schema` next."""
        from psycopg_pool import AsyncConnectionPool, PoolTimeout

        pool: Any = AsyncConnectionPool(
            dsn, min_size=min_size, max_size=max_size, open=False, kwargs={"autocommit": True}
        )
        try:
            await pool.open(wait=True, timeout=_PATIENCE_SECONDS)
        except PoolTimeout as error:
            await pool.close()
            raise Unavailable(f"PostgreSQL does not answer: {error}") from error
        return cls(pool)

    async def aclose(self) -> None:
        await self._pool.close()

    @staticmethod
    def schema_sql() -> list[str]:
        """The statements that make the tables; each may be run again."""
        return list(_SCHEMA)

    async def init_schema(self) -> None:
        """Make the tables, unless they are there."""
        async with self._connection() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            for statement in _SCHEMA:
                await connection.execute(statement)

    async def open(self, run: JournaledRun) -> int:
        columns = {"id": run.id, "user_id": run.user_id, "session_id": run.session_id, "resumable": run.resumable}
        taken = await self._all(_OPEN, {**columns, "input": json.dumps(written(run.input))})
        if not taken:
            for *known, ended in await self._all(_KNOWN, {"id": run.id}):
                check_open(run, JournaledRun(*known), ended=ended)
            raise Conflict(f"run {run.id!r} has changed just now; try again", run_id=run.id)
        return int(taken[0][0])

    async def append(self, appends: Sequence[Append[str]]) -> AbstractSet[str]:
        rows = [(append.run_id, record, pack(storable(record.data))) for append in appends for record in append.records]
        kept = [(run_id, digest, body) for run_id, _, packed in rows for digest, body in packed.blobs.items()]
        asked = {
            "ids": [append.run_id for append in appends],
            "fences": [append.fence for append in appends],
            "ends": [append.ends for append in appends],
            "run_ids": [run_id for run_id, _, _ in rows],
            "kinds": [record.kind for _, record, _ in rows],
            "keys": [record.step_key for _, record, _ in rows],
            "data": [packed.text for _, _, packed in rows],
            "versions": [packed.version for _, _, packed in rows],
            "blob_run_ids": [run_id for run_id, _, _ in kept],
            "digests": [digest for _, digest, _ in kept],
            "bodies": [body for _, _, body in kept],
        }
        return {run_id for (run_id,) in await self._all(_APPEND, asked)}

    async def read(self, run_id: str, step_name: str | None = None) -> list[Row]:
        rows = await self._all(_READ, {"run_id": run_id, "step_key": step_name})
        bodies: dict[str, str] = {}
        if any(version >= WITH_BLOBS for *_, version, _ in rows):
            bodies.update(await self._all(_BLOBS, {"run_id": run_id}))
        return [Row(read_record(kind, key, data, version, bodies), at) for kind, key, data, version, at in rows]

    async def unfinished(
        self, *, user_id: str | Everyone | None = EVERYONE, session_id: str | None = None
    ) -> list[JournaledRun]:
        everyone = user_id is EVERYONE
        asked = {"everyone": everyone, "user_id": None if everyone else user_id, "session_id": session_id}
        return [JournaledRun(*row) for row in await self._all(_UNFINISHED, asked)]

    async def forget(self, user_id: str | None, session_id: str | None = None) -> int:
        [(count,)] = await self._all(_FORGET, {"user_id": user_id, "session_id": session_id})
        return int(count)

    async def _all(self, statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        async with self._connection() as connection:
            rows: list[tuple[Any, ...]] = await (await connection.execute(statement, values)).fetchall()
            return rows

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        import psycopg
        from psycopg_pool import PoolClosed, PoolTimeout

        try:
            async with self._pool.connection(timeout=_PATIENCE_SECONDS) as connection:
                yield connection
        except psycopg.errors.UndefinedTable as error:
            raise ConfigError("the journal's tables are not there; await runtime.init_schema()") from error
        except (psycopg.Error, PoolTimeout, PoolClosed) as error:
            raise Unavailable(f"the journal in PostgreSQL cannot be used: {error}") from error


class PostgresRuntime(JournaledRuntime):
    """A runtime that remembers in PostgreSQL.

    runtime = await PostgresRuntime.connect("postgresql://…")
    await runtime.init_schema()
    """

    name = "postgres"

    def __init__(self, pool: Any) -> None:
        self._postgres = PostgresJournalStore(pool)
        super().__init__(self._postgres)

    @classmethod
    async def connect(cls, dsn: str, *, min_size: int = 1, max_size: int = 10) -> Self:
        """Raises Unavailable when the server does not answer. On a new database, call `init_schema` next."""
        store = await PostgresJournalStore.connect(dsn, min_size=min_size, max_size=max_size)
        return cls(store.pool)

    async def init_schema(self) -> None:
        """Make the tables, unless they are there."""
        await self._postgres.init_schema()
