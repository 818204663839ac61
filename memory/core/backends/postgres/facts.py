"""Facts in the database, by the rules of `memory.core.facts`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from json import dumps
from typing import Any
from zlib import crc32

from loom.errors import ConfigError
from loom.messages import utcnow
from memory.core.backends.postgres import DEFAULT_NAMESPACE, tables
from memory.core.backends.postgres.database import Database, owner_of
from memory.core.backends.postgres.episodes import Scope, scope
from memory.core.backends.postgres.search import Searched, written_vector, written_words
from memory.core.backends.postgres.tables import FACT
from memory.core.facts import Revision, left_of
from memory.core.protocol import Embedder
from memory.core.recall import warn_unless_isolated
from memory.core.values import Fact, as_utc, canonical_predicate

Vector = Sequence[float]

_LOCKS = 0x666163, 128  # writers of one user's facts take turns; no more locks than this for any number of users
_SEARCHED = Searched(
    FACT,
    fits="valid_from <= %(at)s AND (valid_until IS NULL OR valid_until > %(at)s)",
    newest="recorded_at DESC, place DESC",
    ties='char_length(subject || predicate || object), recorded_at DESC, id COLLATE "C"',
)
_FIND = """
SELECT body FROM loom_memory_fact
WHERE namespace = %(namespace)s AND owner = %(owner)s
  AND (%(subject)s::text IS NULL
    OR hashtextextended(subject, 0) = hashtextextended(%(subject)s, 0) AND subject = %(subject)s)
  AND (%(predicate)s::text IS NULL OR predicate = %(predicate)s)
  AND (%(object)s::text IS NULL OR object = %(object)s)
  AND (%(at)s::timestamptz IS NULL OR valid_from <= %(at)s AND (valid_until IS NULL OR valid_until > %(at)s))
ORDER BY recorded_at DESC, place DESC LIMIT %(limit)s
"""
_COUNT = "SELECT count(*) FROM loom_memory_fact WHERE namespace = %(namespace)s AND owner = %(owner)s"
_EVERYTHING = "SELECT body FROM loom_memory_fact WHERE namespace = %s ORDER BY place"
_HAS_NAMED = "SELECT EXISTS (SELECT FROM loom_memory_fact WHERE namespace = %s AND owner > '')"
_LOCK = "SELECT pg_advisory_xact_lock(%s, number) FROM unnest(%s::integer[]) AS number"
_ABOUT = """
SELECT fact.owner, fact.body FROM loom_memory_fact AS fact
JOIN unnest(%(owners)s::text[], %(subjects)s::text[], %(predicates)s::text[]) AS asked (owner, subject, predicate)
    ON fact.owner = asked.owner AND hashtextextended(fact.subject, 0) = hashtextextended(asked.subject, 0)
    AND fact.subject = asked.subject AND fact.predicate = asked.predicate
WHERE namespace = %(namespace)s ORDER BY place
"""
_REMOVE = """
DELETE FROM loom_memory_fact AS fact USING unnest(%(owners)s::text[], %(ids)s::text[]) AS asked (owner, id)
WHERE namespace = %(namespace)s AND fact.owner = asked.owner AND fact.id = asked.id
"""
_END = """
UPDATE loom_memory_fact AS fact SET valid_until = asked.valid_until, body = asked.body
FROM unnest(%(owners)s::text[], %(ids)s::text[], %(ends)s::timestamptz[], %(bodies)s::text[])
    AS asked (owner, id, valid_until, body)
WHERE namespace = %(namespace)s AND fact.owner = asked.owner AND fact.id = asked.id
"""
_ADD = """
INSERT INTO loom_memory_fact (namespace, owner, id, subject, predicate, object, valid_from, valid_until, recorded_at,
    sources, body, words, length{column})
VALUES (%(namespace)s, %(owner)s, %(id)s, %(subject)s, %(predicate)s, %(object)s, %(valid_from)s, %(valid_until)s,
    %(recorded_at)s, %(sources)s::text[], %(body)s, %(words)s::tsvector, %(length)s{value})
"""
_VECTOR, _NO_VECTOR = {"column": ", embedding", "value": ", %(vector)s::vector"}, {"column": "", "value": ""}
_ERASE = """
DELETE FROM loom_memory_fact
WHERE namespace = %(namespace)s AND owner = %(owner)s
  AND (%(before)s::timestamptz IS NULL OR recorded_at < %(before)s)
"""
_READ_FROM = """
SELECT place, body FROM loom_memory_fact
WHERE namespace = %(namespace)s AND owner = %(owner)s
  AND (%(before)s::timestamptz IS NULL OR recorded_at < %(before)s) AND sources && %(sources)s::text[]
"""
_DROP = "DELETE FROM loom_memory_fact WHERE place = ANY(%s)"
_REWRITE = """
UPDATE loom_memory_fact AS fact SET body = asked.body,
    sources = ARRAY(SELECT jsonb_array_elements_text(asked.sources::jsonb))
FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS asked (place, body, sources) WHERE fact.place = asked.place
"""


class PostgresFactStore:
    """Facts of one namespace, partitioned by user, found by words or, with an embedder, by cosine similarity.

    It takes a psycopg `AsyncConnectionPool`, which belongs to one event loop. Facts may lie beside a PostgresMemory.
    """

    def __init__(self, pool: Any, *, embedder: Embedder | None = None, namespace: str = DEFAULT_NAMESPACE) -> None:
        if not namespace:
            raise ConfigError("the namespace of facts has a name, say 'default'")
        self.database = pool if isinstance(pool, Database) else Database(pool)
        self._embedder = embedder
        self._namespace = namespace

    @classmethod
    async def connect(
        cls,
        dsn: str,
        *,
        embedder: Embedder | None = None,
        namespace: str = DEFAULT_NAMESPACE,
        min_size: int = 1,
        max_size: int = 10,
    ) -> PostgresFactStore:
        """On a new database, call `init_schema` next. Raises MemoryStoreError when the server does not answer."""
        database = await Database.connect(dsn, min_size=min_size, max_size=max_size)
        return cls(database, embedder=embedder, namespace=namespace)

    async def aclose(self) -> None:
        await self.database.aclose()

    @property
    def embedder(self) -> Embedder | None:
        return self._embedder

    @property
    def namespace(self) -> str:
        return self._namespace

    def schema_sql(self) -> list[str]:
        """The statements that make the table; each may be run again."""
        extension = [] if self._embedder is None else [tables.EXTENSION]
        return [*extension, *tables.statements([FACT], self._dimensions())]

    async def init_schema(self) -> None:
        """Make the table, unless it is there. Several programs may do it at once."""
        await self.database.make([FACT], self._dimensions())

    async def append(self, fact: Fact) -> str:
        (fact_id,) = await self.append_many([fact])
        return fact_id

    async def append_many(self, facts: Iterable[Fact]) -> list[str]:
        """Add facts, each under its own user, all of them or none. The embedder is called once, before."""
        facts = list(facts)
        vectors: Sequence[Vector | None] = [None] * len(facts)
        if self._embedder is not None and facts:
            vectors = await self._embedder.embed_batch([fact.text() for fact in facts])
        if facts:
            async with self.database.transaction(searching=self._embedder is not None) as connection:
                await self._add(connection, facts, vectors)
        return [fact.id for fact in facts]

    async def query(
        self,
        *,
        subject: str | None = None,
        predicate: str | None = None,
        object_: str | None = None,
        valid_at: datetime | None = None,
        limit: int = 10,
        user_id: str | None = None,
    ) -> list[Fact]:
        asked = {
            "subject": subject,
            "predicate": None if predicate is None else canonical_predicate(predicate),
            "object": object_,
            "at": None if valid_at is None else as_utc(valid_at),
            "limit": max(limit, 0),
        }
        async with self.database.connection() as connection:
            return _read(await _rows(connection, _FIND, {**scope(self._namespace, user_id), **asked}))

    async def recall_text(
        self, query: str, *, limit: int = 5, valid_at: datetime | None = None, user_id: str | None = None
    ) -> list[Fact]:
        await self._check_isolation(user_id)
        moment = utcnow() if valid_at is None else as_utc(valid_at)
        if not query.strip():
            return await self.query(valid_at=moment, limit=limit, user_id=user_id)
        vector = None if self._embedder is None else await self._embedder.embed(query)
        asked = {**scope(self._namespace, user_id), "at": moment}
        async with self.database.transaction(searching=True) as connection:
            if vector is None:
                found = await _SEARCHED.by_words(connection, query, limit, asked)
            else:
                found = await _SEARCHED.by_vector(connection, vector, limit, asked)
        return _read((row.body,) for row in found)

    async def count(self, *, user_id: str | None = None) -> int:
        async with self.database.connection() as connection:
            [(count,)] = await _rows(connection, _COUNT, scope(self._namespace, user_id))
        return int(count)

    async def all_facts(self) -> list[Fact]:
        """The facts of all users of the namespace."""
        async with self.database.connection() as connection:
            return _read(await _rows(connection, _EVERYTHING, (self._namespace,)))

    async def forget(
        self, *, user_id: str | None, before: datetime | None = None, sources: Collection[str] | None = None
    ) -> int:
        async with self.database.transaction() as connection:
            return await erase(connection, scope(self._namespace, user_id), before=before, sources=sources)

    def _dimensions(self) -> int | None:
        return None if self._embedder is None else self._embedder.dimensions

    async def _check_isolation(self, user_id: str | None) -> None:
        if user_id is None:
            async with self.database.connection() as connection:
                [(there,)] = await _rows(connection, _HAS_NAMED, (self._namespace,))
            warn_unless_isolated(user_id, named_users=bool(there))

    async def _add(self, connection: Any, facts: Sequence[Fact], vectors: Sequence[Vector | None]) -> None:
        owners = [owner_of(fact.user_id) for fact in facts]
        await connection.execute(_LOCK, (_LOCKS[0], _lock_numbers(self._namespace, owners)))
        revisions = await self._revised(connection, facts, owners)
        ended = [(owner, fact) for owner, revision in revisions.items() for fact in revision.changed.values()]
        added = [(owner, fact) for owner, revision in revisions.items() for fact in revision.new.values()]
        ours = {"namespace": self._namespace}
        await connection.execute(_REMOVE, {**ours, "owners": owners, "ids": [fact.id for fact in facts]})
        if ended:
            await connection.execute(
                _END,
                {
                    **ours,
                    "owners": [owner for owner, _ in ended],
                    "ids": [fact.id for _, fact in ended],
                    "ends": [fact.valid_until for _, fact in ended],
                    "bodies": [fact.model_dump_json() for _, fact in ended],
                },
            )
        by_id = {(owner, fact.id): vector for owner, fact, vector in zip(owners, facts, vectors, strict=True)}
        statement = _ADD.format(**(_NO_VECTOR if self._embedder is None else _VECTOR))
        async with connection.cursor() as cursor:
            await cursor.executemany(
                statement, [_row(self._namespace, owner, fact, by_id[owner, fact.id]) for owner, fact in added]
            )

    async def _revised(self, connection: Any, facts: Sequence[Fact], owners: Sequence[str]) -> dict[str, Revision]:
        """What facts become, by owner, and what becomes of those that are kept about the same things."""
        keys = sorted({(owner, fact.subject, fact.predicate) for owner, fact in zip(owners, facts, strict=True)})
        asked = dict(zip(("owners", "subjects", "predicates"), map(list, zip(*keys, strict=True)), strict=True))
        known: defaultdict[str, list[Fact]] = defaultdict(list)
        for owner, body in await _rows(connection, _ABOUT, {"namespace": self._namespace, **asked}):
            known[owner].append(Fact.model_validate_json(body))
        revisions = {owner: Revision(known[owner]) for owner in dict.fromkeys(owners)}
        for owner, fact in zip(owners, facts, strict=True):
            revisions[owner].add(fact)
        return revisions


async def erase(
    connection: Any,
    mine: Scope,
    *,
    before: datetime | None = None,
    sources: Collection[str] | None = None,
) -> int:
    """Erase what `ErasableFactStore.forget` erases, within the transaction of the caller."""
    await connection.execute(_LOCK, (_LOCKS[0], _lock_numbers(mine["namespace"], [mine["owner"]])))
    asked = {**mine, "before": None if before is None else as_utc(before)}
    if sources is None:
        return int((await connection.execute(_ERASE, asked)).rowcount)
    gone: list[int] = []
    changed: dict[int, Fact] = {}
    for place, body in await _rows(connection, _READ_FROM, {**asked, "sources": list(sources)}):
        rest = left_of(Fact.model_validate_json(body), before=None, sources=sources)
        if rest is None:
            gone.append(place)
        else:
            changed[place] = rest
    rewritten = (
        [fact.model_dump_json() for fact in changed.values()],
        [dumps(fact.sources) for fact in changed.values()],
    )
    await connection.execute(_DROP, (gone,))
    await connection.execute(_REWRITE, (list(changed), *rewritten))
    return len(gone)


def _row(namespace: str, owner: str, fact: Fact, vector: Vector | None) -> dict[str, Any]:
    written, length = written_words(fact.text(), namespace=namespace, owner=owner)
    return {
        "namespace": namespace,
        "owner": owner,
        "id": fact.id,
        "subject": fact.subject,
        "predicate": fact.predicate,
        "object": fact.object,
        "valid_from": fact.valid_from,
        "valid_until": fact.valid_until,
        "recorded_at": fact.recorded_at,
        "sources": fact.sources,
        "body": fact.model_dump_json(),
        "words": written,
        "length": length,
        "vector": None if vector is None else written_vector(vector),
    }


def _lock_numbers(namespace: str, owners: Iterable[str]) -> list[int]:
    """In one order, so that no two writers wait for one another."""
    return sorted({crc32(f"{namespace}\n{owner}".encode()) % _LOCKS[1] for owner in owners})


async def _rows(connection: Any, statement: str, values: Any) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = await (await connection.execute(statement, values)).fetchall()
    return rows


def _read(rows: Iterable[tuple[Any, ...]]) -> list[Fact]:
    return [Fact.model_validate_json(body) for (body,) in rows]
