"""Vectors in PostgreSQL, with pgvector: for as many chunks as there are, shared by several processes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from loom.errors import ConfigError
from memory.core.backends.postgres.database import Database, check_dsn
from memory.core.backends.postgres.search import written_vector
from memory.core.backends.postgres.tables import indexed_as
from memory.core.loaders.base import Chunk
from memory.core.once import Once
from memory.core.protocol import Embedder
from memory.core.vector_stores.base import SearchResult
from memory.core.vector_stores.incoming import Filter, checked_diversity, checked_embedder, chunks_of, embedded, named
from memory.core.vector_stores.jsonb import condition, holds_nul
from memory.core.vector_stores.ranking import diverse
from memory.core.vector_stores.rows import Row, unit

_NAME = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]{0,62}\.)?[A-Za-z_][A-Za-z0-9_]{0,49}", re.ASCII)
_EXACT_UP_TO = 1_000  # so many chunks are compared one by one; among more the index searches

_DIMENSIONS = """
SELECT atttypmod FROM pg_attribute WHERE attrelid = to_regclass(%(table)s) AND attname = 'embedding'
"""
_TABLE = """
CREATE TABLE IF NOT EXISTS {table} (
    id text PRIMARY KEY,
    place bigint NOT NULL,
    content text NOT NULL,
    metadata jsonb NOT NULL,
    embedding vector({dimensions})
)
"""
_METADATA = "CREATE INDEX IF NOT EXISTS {metadata} ON {table} USING gin (metadata jsonb_path_ops)"
_NOWHERE = "CREATE INDEX IF NOT EXISTS {nowhere} ON {table} (place) WHERE embedding IS NULL"
_VECTORS = "CREATE INDEX IF NOT EXISTS {vectors} ON {table} USING hnsw (({embedding}) {kind}_cosine_ops)"
_ADD = """
INSERT INTO {table} (id, place, content, metadata, embedding)
VALUES (%(id)s, %(place)s, %(content)s, %(metadata)s::jsonb, %(vector)s::vector)
ON CONFLICT (id) DO UPDATE SET place = excluded.place, content = excluded.content, metadata = excluded.metadata,
    embedding = excluded.embedding
"""
_GROWN = """
SELECT to_regclass(%(index)s) IS NOT NULL, (SELECT count(*) FROM (SELECT FROM {table} LIMIT %(most)s) AS few)
"""
_DELETE = "DELETE FROM {table} WHERE id = ANY(%(ids)s)"
_COUNT = "SELECT count(*) FROM {table}"
_BY_IDS = "SELECT id, content, metadata FROM {table} WHERE id = ANY(%(ids)s)"
_HOW_MANY = "SELECT count(*) FROM (SELECT FROM {table} WHERE {fits} LIMIT %(most)s) AS few"
# What has no direction is as far from everything as a right angle is, and not in the index.
_EXACT = """
SELECT id, content, metadata, embedding::text, coalesce(1 - (embedding <=> %(vector)s::vector), 0) AS score
FROM {table} WHERE {fits} ORDER BY score DESC, place LIMIT %(limit)s
"""
_INDEXED = """
WITH near AS MATERIALIZED (
    SELECT id, place, content, metadata, embedding, 1 - ({embedding} <=> %(vector)s::{type}) AS score
    FROM {table} WHERE {fits} AND embedding IS NOT NULL ORDER BY {embedding} <=> %(vector)s::{type} LIMIT %(limit)s
), nowhere AS (
    SELECT id, place, content, metadata, embedding, 0 AS score
    FROM {table} WHERE {fits} AND embedding IS NULL ORDER BY place LIMIT %(limit)s
)
SELECT id, content, metadata, embedding::text, score, (SELECT count(*) FROM near) FROM
    (SELECT * FROM near UNION ALL SELECT * FROM nowhere) AS either
ORDER BY score DESC, place LIMIT %(limit)s
"""


class PostgresVectorStore:
    """Chunks in one table, found by cosine similarity (HNSW): the score, from -1 to 1.

    It connects when it is first used, and makes its table when the first chunk is added. Metadata is kept as JSON.
    A search whose filter leaves few chunks compares each of them; it finds `k` whenever there are so many.
    """

    name = "postgres"

    def __init__(
        self, embedder: Embedder, *, dsn: str, table: str = "loom_vectors", dimension: int | None = None
    ) -> None:
        if not _NAME.fullmatch(table):
            raise ConfigError(f"{table!r} is no name of a table: letters, digits and _, at most 50, may be in a schema")
        check_dsn(dsn)
        self._embedder = checked_embedder(embedder)
        self._dimensions = embedder.dimensions
        self._check_size(dimension)
        self._name = table
        self._database: Once[Database] = Once(lambda: Database.connect(dsn))
        self._is_made, self._is_indexed = False, False

    @property
    def embedder(self) -> Embedder:
        return self._embedder

    @classmethod
    async def from_chunks(
        cls,
        chunks: list[Chunk],
        *,
        embedder: Embedder,
        ids: list[str] | None = None,
        dsn: str,
        table: str = "loom_vectors",
        dimension: int | None = None,
    ) -> PostgresVectorStore:
        store = cls(embedder, dsn=dsn, table=table, dimension=dimension)
        await store.add(chunks, ids)
        return store

    @classmethod
    async def from_texts(
        cls,
        texts: list[str],
        *,
        embedder: Embedder,
        metadatas: list[dict[str, Any]] | None = None,
        ids: list[str] | None = None,
        dsn: str,
        table: str = "loom_vectors",
        dimension: int | None = None,
    ) -> PostgresVectorStore:
        chunks = chunks_of(texts, metadatas)
        return await cls.from_chunks(chunks, embedder=embedder, ids=ids, dsn=dsn, table=table, dimension=dimension)

    async def init_schema(self, dimension: int) -> None:
        """Make the table for vectors of that many dimensions, and its indexes, unless they are there.

        `add` does it by itself; call it with a role that may make tables when the program's own may not.
        """
        self._check_size(dimension)
        await self._make()
        if indexed_as(self._dimensions) is not None:
            await self._define(_VECTORS)

    async def add(self, chunks: list[Chunk], ids: list[str] | None = None) -> list[str]:
        """Embed all chunks in one call, then store them: all of them or none."""
        ids = named(chunks, ids)
        if not chunks:
            return []
        rows, vectors = await embedded(chunks, ids, self._embedder)
        now = time.time_ns()
        written = [
            _written(now + place, row, vector)
            for place, (row, vector) in enumerate(zip(rows, vectors.tolist(), strict=True))
        ]
        written.sort(key=itemgetter("id"))  # so that no two that add the same ids wait for one another
        await self._make()
        database = await self._database.get()
        async with database.transaction(searching=True) as connection, connection.cursor() as cursor:
            await cursor.executemany(_ADD.format(**self._parts()), written)
        await self._index_what_has_grown()
        return ids

    async def delete(self, ids: list[str]) -> None:
        if await self._is_there():
            async with (await self._database.get()).connection() as connection:
                await connection.execute(_DELETE.format(**self._parts()), {"ids": list(ids)})

    async def get_by_ids(self, ids: list[str]) -> list[Chunk]:
        found = {row[0]: Chunk(row[1], row[2]) for row in await self._rows(_BY_IDS, {"ids": list(ids)})}
        return [found[chunk_id] for chunk_id in ids if chunk_id in found]

    async def count(self) -> int:
        return sum(count for (count,) in await self._rows(_COUNT, {}))

    async def search(
        self, query: str, *, k: int = 4, filter: Filter = None, diversity: float | None = None
    ) -> list[SearchResult]:
        fits, diversity = condition(filter), checked_diversity(diversity)
        if k < 1 or not await self._is_there():
            return []
        return await self._nearest(await self._embedder.embed(query), k, fits, diversity)

    async def search_by_vector(
        self, vector: list[float], *, k: int = 4, filter: Filter = None, diversity: float | None = None
    ) -> list[SearchResult]:
        return await self._nearest(vector, k, condition(filter), checked_diversity(diversity))

    async def aclose(self) -> None:
        """Close the connections of this event loop. The next use opens others."""
        if (database := await self._database.take()) is not None:
            await database.aclose()

    async def _nearest(
        self, vector: Sequence[float], k: int, fits: tuple[str, dict[str, Any]], diversity: float
    ) -> list[SearchResult]:
        (query,) = unit([vector], self._dimensions, of="the query").tolist()
        if k < 1 or not await self._is_there():
            return []
        rows = await self._near(query, max(4 * k, 20) if diversity else k, *fits)
        results = [SearchResult(Chunk(row[1], row[2]), min(max(float(row[4]), -1.0), 1.0), row[0]) for row in rows]
        if not diversity:
            return results
        vectors = [json.loads(row[3]) if row[3] else [0.0] * self._dimensions for row in rows]
        scores = np.asarray([result.score for result in results], dtype=np.float32)
        there = unit(vectors, self._dimensions, of=self._name)
        return [results[place] for place in diverse(there, scores, count=k, diversity=diversity)]

    async def _near(
        self, query: Sequence[float], limit: int, fits: str, values: Mapping[str, Any]
    ) -> list[tuple[Any, ...]]:
        asked = {**values, "vector": written_vector(query), "limit": limit, "most": _EXACT_UP_TO + 1}
        if asked["vector"] is not None and indexed_as(self._dimensions) is not None:
            [(count,)] = await self._rows(_HOW_MANY, asked, fits=fits)
            if count > _EXACT_UP_TO:
                rows = await self._rows(_INDEXED, asked, fits=fits)
                if rows and rows[0][5] == limit:
                    return rows
        # The index gives up after a while; then, and where few chunks are in question, all of them are compared.
        return await self._rows(_EXACT, asked, fits=fits)

    async def _rows(self, statement: str, values: Mapping[str, Any], *, fits: str = "TRUE") -> list[tuple[Any, ...]]:
        if not await self._is_there():
            return []
        async with (await self._database.get()).transaction(searching=True) as connection:
            filled = statement.format(**self._parts(), fits=fits)
            rows: list[tuple[Any, ...]] = await (await connection.execute(filled, values)).fetchall()
            return rows

    async def _make(self) -> None:
        if not await self._is_there():
            await self._define(_TABLE, _METADATA, _NOWHERE)
            await self._is_there()

    async def _index_what_has_grown(self) -> None:
        """Few chunks need no index of their vectors, and many are indexed faster together than one by one."""
        if self._is_indexed or indexed_as(self._dimensions) is None:
            return
        asked = {"index": self._parts()["index"], "most": _EXACT_UP_TO + 1}
        [(self._is_indexed, count)] = await self._rows(_GROWN, asked)
        if not self._is_indexed and count > _EXACT_UP_TO:
            await self._define(_VECTORS)
            self._is_indexed = True

    async def _define(self, *statements: str) -> None:
        parts = self._parts()
        await (await self._database.get()).define([each.format(**parts) for each in statements], vectors=True)

    def _check_size(self, dimension: int | None) -> None:
        if dimension not in {None, self._dimensions}:
            raise ValueError(
                f"{self._embedder.name} makes vectors of {self._dimensions} dimensions, not of {dimension}"
            )

    async def _is_there(self) -> bool:
        """Whether the table is there. Raises ValueError when it keeps vectors of other dimensions."""
        if not self._is_made:
            async with (await self._database.get()).connection() as connection:
                found = await connection.execute(_DIMENSIONS, {"table": self._parts()["table"]})
                row = await found.fetchone()
            if row is not None and row[0] != self._dimensions:
                raise ValueError(
                    f"the table {self._name} keeps vectors of {row[0]} dimensions; this store has {self._dimensions}"
                )
            self._is_made = row is not None
        return self._is_made

    def _parts(self) -> dict[str, Any]:
        """What stands in the statements: nothing but checked names and numbers."""
        kind = indexed_as(self._dimensions) or "vector"
        *schema, table = self._name.split(".")
        return {
            "table": ".".join(f'"{part}"' for part in (*schema, table)),
            "index": ".".join(f'"{part}"' for part in (*schema, f"{table}_vectors")),
            **{name: f'"{table}_{name}"' for name in ("metadata", "nowhere", "vectors")},
            "dimensions": int(self._dimensions),
            "kind": kind,
            "type": f"{kind}({int(self._dimensions)})",
            "embedding": f"embedding::{kind}({int(self._dimensions)})",
        }


def _written(place: int, row: Row, vector: Sequence[float]) -> dict[str, Any]:
    chunk_id, chunk = row
    if holds_nul([chunk_id, chunk.content, chunk.metadata]):
        raise ValueError(f"chunk {chunk_id!r} holds a NUL character, which PostgreSQL cannot keep: take it out")
    strange = next((key for key in chunk.metadata if not isinstance(key, str)), None)
    if strange is not None:
        raise ValueError(f"the metadata of chunk {chunk_id!r} has the key {strange!r}: keys are texts")
    try:
        metadata = json.dumps(chunk.metadata, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the metadata of chunk {chunk_id!r} cannot be kept as JSON: {error}") from error
    written = written_vector(vector)
    return {"id": chunk_id, "place": place, "content": chunk.content, "metadata": metadata, "vector": written}
