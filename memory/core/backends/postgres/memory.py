"""Episodes, blocks and facts of users in a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from loom.errors import ConfigError
from loom.messages import utcnow
from memory.core.backends.kept import KeptMemory
from memory.core.backends.postgres import DEFAULT_NAMESPACE, episodes, tables
from memory.core.backends.postgres import facts as fact_rows
from memory.core.backends.postgres.database import Database
from memory.core.backends.postgres.episodes import Scope, scope
from memory.core.backends.postgres.facts import PostgresFactStore
from memory.core.backends.postgres.search import Found
from memory.core.erasure import erasable
from memory.core.history import Range
from memory.core.protocol import Embedder, FactStore
from memory.core.recall import warn_unless_isolated
from memory.core.values import Episode, EpisodeMatch, Fact, MemoryBlock, MemoryExport, MemoryProfile, as_utc

_TABLES = (tables.BLOCK, tables.EPISODE)
_BLOCKS = """
SELECT name, content, updated_at, pinned_order FROM loom_memory_block
WHERE namespace = %(namespace)s AND owner = %(owner)s ORDER BY pinned_order, place
"""
_WRITE_BLOCK = """
INSERT INTO loom_memory_block AS block (namespace, owner, name, content, updated_at)
VALUES (%(namespace)s, %(owner)s, %(name)s, %(content)s, %(now)s)
ON CONFLICT (namespace, owner, name) DO UPDATE SET updated_at = excluded.updated_at,
    content = CASE WHEN %(append)s THEN block.content ELSE '' END || excluded.content
"""
_FORGET_BLOCKS = """
DELETE FROM loom_memory_block WHERE namespace = %(namespace)s AND owner = %(owner)s
AND (%(before)s::timestamptz IS NULL OR updated_at < %(before)s)
"""


class PostgresMemory(KeptMemory):
    """Memory of one namespace in a database, over a psycopg `AsyncConnectionPool`, which belongs to one event loop.

    memory = await PostgresMemory.connect("postgresql://…", with_facts=True)
    await memory.init_schema()

    Recall goes by words (BM25) and, with an embedder, also by vectors (pgvector, HNSW, cosine), fused by rank. Nothing
    is seen of another namespace, nor of another user.
    """

    def __init__(
        self,
        pool: Any,
        *,
        embedder: Embedder | None = None,
        namespace: str = DEFAULT_NAMESPACE,
        fact_store: FactStore | None = None,
    ) -> None:
        if not namespace:
            raise ConfigError("the namespace of a memory has a name, say 'default'")
        self._database = pool if isinstance(pool, Database) else Database(pool)
        self._namespace = namespace
        super().__init__(embedder=embedder, facts=fact_store)

    @classmethod
    async def connect(
        cls,
        dsn: str,
        *,
        embedder: Embedder | None = None,
        namespace: str = DEFAULT_NAMESPACE,
        min_size: int = 1,
        max_size: int = 10,
        with_facts: bool = False,
    ) -> PostgresMemory:
        """On a new database, call `init_schema` next. Raises MemoryStoreError when the server does not answer."""
        database = await Database.connect(dsn, min_size=min_size, max_size=max_size)
        facts = PostgresFactStore(database, embedder=embedder, namespace=namespace) if with_facts else None
        return cls(database, embedder=embedder, namespace=namespace, fact_store=facts)

    async def aclose(self) -> None:
        await self._database.aclose()

    @property
    def namespace(self) -> str:
        return self._namespace

    @property
    def embedding_dimensions(self) -> int:
        """0 without an embedder."""
        return 0 if self._embedder is None else self._embedder.dimensions

    def schema_sql(self) -> list[str]:
        """The statements that make the tables; each may be run again. Those of facts in the same database follow."""
        extension = [] if self._embedder is None else [tables.EXTENSION]
        facts = self._facts_here()
        return [
            *extension,
            *tables.statements(_TABLES, self._dimensions()),
            *([] if facts is None else facts.schema_sql()),
        ]

    async def init_schema(self) -> None:
        """Make the tables, unless they are there. Several programs may do it at once."""
        await self._database.make(_TABLES, self._dimensions())
        if (facts := self._facts_here()) is not None:
            await facts.init_schema()

    async def working(self, *, user_id: str | None = None) -> list[MemoryBlock]:
        async with self._database.connection() as connection:
            return await _blocks(connection, self._scope(user_id))

    async def remember(self, episode: Episode) -> str:
        vector, with_vectors = await self._embedded(episode), self._embedder is not None
        async with self._database.transaction(searching=with_vectors) as connection:
            await episodes.keep(connection, self._namespace, episode, vector, with_vectors=with_vectors)
        return episode.id

    async def profile(self, *, user_id: str | None = None) -> MemoryProfile:
        mine = self._scope(user_id)
        count, sample = await self._facts_counted(user_id)
        async with self._database.transaction() as connection:
            episode_count, last_seen = await episodes.seen(connection, mine)
            sessions = await episodes.recent_sessions(connection, mine, 10)
        return MemoryProfile(
            user_id=user_id,
            episode_count=episode_count,
            fact_count=count,
            last_seen=last_seen and last_seen.astimezone(UTC),
            recent_sessions=sessions,
            sample_facts=sample,
        )

    async def forget(
        self, *, user_id: str | None = None, session_id: str | None = None, before: datetime | None = None
    ) -> int:
        """Facts of the same database go in the same transaction; others go first, so that a crash loses no erasure.

        Raises ConfigError, and erases nothing, when the fact store cannot erase facts that it holds.
        """
        facts, mine = await erasable(self.facts, user_id=user_id), self._scope(user_id)
        here, count = self._facts_here(), 0
        if facts is not None and here is None:
            async with self._database.connection() as connection:
                ids = await episodes.ids_that_match(connection, mine, session_id, before)
            count += await facts.forget(user_id=user_id, sources=ids) if ids else 0
            count += await facts.forget(user_id=user_id, before=before) if session_id is None else 0
        async with self._database.transaction() as connection:
            ids = await episodes.erase(connection, mine, session_id, before)
            if here is not None:
                theirs = scope(here.namespace, user_id)
                count += await fact_rows.erase(connection, theirs, sources=ids) if ids else 0
                count += await fact_rows.erase(connection, theirs, before=before) if session_id is None else 0
            if session_id is None:
                await connection.execute(_FORGET_BLOCKS, {**mine, "before": None if before is None else as_utc(before)})
        return count + len(ids)

    async def export(self, *, user_id: str | None = None) -> MemoryExport:
        facts = await self._facts_of(user_id)
        async with self._database.transaction() as connection:
            kept = await episodes.all_of(connection, self._scope(user_id))
            blocks = await _blocks(connection, self._scope(user_id))
        return MemoryExport(
            user_id=user_id,
            episodes=kept,
            facts=sorted(facts, key=lambda fact: fact.recorded_at),
            blocks=blocks,
        )

    def _dimensions(self) -> int | None:
        return None if self._embedder is None else self._embedder.dimensions

    def _scope(self, user_id: str | None) -> Scope:
        return scope(self._namespace, user_id)

    def _facts_here(self) -> PostgresFactStore | None:
        """The fact store, when its rows lie in the same database."""
        facts = self.facts
        return facts if isinstance(facts, PostgresFactStore) and facts.database.is_same(self._database) else None

    async def _facts_counted(self, user_id: str | None) -> tuple[int, list[Fact]]:
        """How many facts there are, and ten of them, the newest."""
        if isinstance(self.facts, PostgresFactStore):
            return await self.facts.count(user_id=user_id), await self.facts.query(user_id=user_id, limit=10)
        facts = await self._facts_of(user_id)
        return len(facts), facts[:10]

    async def _newest(self, user_id: str | None, limit: int, time_range: Range | None) -> list[Episode]:
        async with self._database.connection() as connection:
            return await episodes.newest(connection, self._scope(user_id), limit, time_range)

    async def _by_words(
        self, user_id: str | None, query: str, limit: int, time_range: Range | None
    ) -> list[EpisodeMatch]:
        async with self._database.transaction(searching=True) as connection:
            found = await episodes.by_words(connection, self._scope(user_id), query, limit, time_range)
        return [EpisodeMatch(episode=each, score=score, bm25_score=score) for score, each in _read(found).values()]

    async def _by_both(
        self,
        user_id: str | None,
        query: str,
        vector: Sequence[float] | None,
        limit: int,
        time_range: Range | None,
        alpha: float,
    ) -> list[EpisodeMatch]:
        from memory.core.backends.fusion import matches  # brings NumPy, which is slow to import

        mine, pool = self._scope(user_id), max(4 * limit, 20)
        async with self._database.transaction(searching=True) as connection:
            words = await episodes.by_words(connection, mine, query, pool, time_range) if alpha < 1 else []
            near = [] if vector is None else await episodes.by_vector(connection, mine, vector, pool, time_range)
        return matches(_read(near), _read(words), limit, alpha)

    async def _last_of_session(self, user_id: str | None, session_id: str, count: int) -> list[Episode]:
        async with self._database.connection() as connection:
            return await episodes.last_of_session(connection, self._scope(user_id), session_id, count)

    async def _check_isolation(self, user_id: str | None) -> None:
        if user_id is None:
            async with self._database.connection() as connection:
                there = await episodes.has_named_owners(connection, self._namespace)
            warn_unless_isolated(user_id, named_users=there)

    async def _write_block(self, user_id: str | None, name: str, content: str, *, append: bool) -> None:
        written = {"name": name, "content": content, "now": utcnow(), "append": append}
        async with self._database.connection() as connection:
            await connection.execute(_WRITE_BLOCK, {**self._scope(user_id), **written})


async def _blocks(connection: Any, mine: Scope) -> list[MemoryBlock]:
    rows = await (await connection.execute(_BLOCKS, mine)).fetchall()
    return [
        MemoryBlock(name=name, content=content, updated_at=updated_at.astimezone(UTC), pinned_order=order)
        for name, content, updated_at, order in rows
    ]


def _read(found: list[Found]) -> dict[str, tuple[float, Episode]]:
    """Id → score, episode, best first."""
    read = episodes.read(row.body for row in found)
    return {episode.id: (row.score, episode) for row, episode in zip(found, read, strict=True)}
