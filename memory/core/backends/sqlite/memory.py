"""The memory over the file."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from loom.messages import utcnow
from memory.core.backends.kept import EVERYTHING, KeptMemory
from memory.core.backends.sqlite import episodes
from memory.core.backends.sqlite import facts as fact_rows
from memory.core.backends.sqlite.facts import SqliteFactStore
from memory.core.backends.sqlite.file import (
    SqliteFile,
    drop_if_empty,
    has_named_owners,
    instant,
    moment,
    owner_of,
    span,
)
from memory.core.erasure import erasable
from memory.core.history import Range
from memory.core.protocol import Embedder, FactStore
from memory.core.recall import warn_unless_isolated
from memory.core.values import Episode, EpisodeMatch, MemoryBlock, MemoryExport, MemoryProfile

T = TypeVar("T")


class SqliteMemory(KeptMemory):
    """Episodes, blocks and facts in one file, which several programs may use at once.

    Recall goes by words (BM25) and, with an embedder, also by vectors: these it compares with all of the user's. The
    event loop goes on meanwhile. `fact_store` keeps facts somewhere else; `with_facts=False` keeps none.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        embedder: Embedder | None = None,
        with_facts: bool = True,
        fact_store: FactStore | None = None,
    ) -> None:
        self._file = SqliteFile(path)
        if fact_store is None and with_facts:
            fact_store = SqliteFactStore(self._file, embedder=embedder)
        super().__init__(embedder=embedder, facts=fact_store)

    @property
    def path(self) -> Path:
        return self._file.path

    async def working(self, *, user_id: str | None = None) -> list[MemoryBlock]:
        return await self._of(user_id, _blocks) or []

    async def remember(self, episode: Episode) -> str:
        vector = await self._embedded(episode)
        kept = None if vector is None else _bytes(vector)

        def keep(connection: sqlite3.Connection) -> None:
            owner = owner_of(connection, episode.user_id, create=True)
            assert owner is not None
            episodes.keep(connection, owner, episode, kept)

        await self._file.write(keep)
        return episode.id

    async def profile(self, *, user_id: str | None = None) -> MemoryProfile:
        facts = await self._facts_of(user_id)
        profile = await self._of(user_id, lambda c, owner: _profile(c, owner, user_id)) or MemoryProfile(
            user_id=user_id
        )
        return profile.model_copy(update={"fact_count": len(facts), "sample_facts": facts[:10]})

    async def forget(
        self, *, user_id: str | None = None, session_id: str | None = None, before: datetime | None = None
    ) -> int:
        """Facts of the same file go in the same transaction; others go first, so that a crash loses no erasure.

        Raises ConfigError, and erases nothing, when the fact store cannot erase facts that it holds.
        """
        facts = await erasable(self.facts, user_id=user_id)
        here = isinstance(facts, SqliteFactStore) and facts.file is self._file
        until = None if before is None else instant(before)
        count = 0
        if facts is not None and not here:
            ids = await self._of(user_id, lambda c, o: episodes.ids_that_match(c, o, session_id, until)) or set()
            count += await facts.forget(user_id=user_id, sources=ids) if ids else 0
            count += await facts.forget(user_id=user_id, before=before) if session_id is None else 0

        def erase(connection: sqlite3.Connection) -> int:
            return _forget(connection, user_id, session_id, before, with_facts=here)

        return count + await self._file.erase(erase)

    async def export(self, *, user_id: str | None = None) -> MemoryExport:
        facts = await self._facts_of(user_id)
        kept, blocks = await self._of(user_id, lambda c, o: (episodes.all_of(c, o), _blocks(c, o))) or ([], [])
        return MemoryExport(
            user_id=user_id,
            episodes=kept,
            facts=sorted(facts, key=lambda fact: fact.recorded_at),
            blocks=blocks,
        )

    async def aclose(self) -> None:
        """Let go of the file. The next use opens it again."""
        await self._file.aclose()

    async def _of(self, user_id: str | None, work: Callable[[sqlite3.Connection, int], T]) -> T | None:
        """Read something of a user; None when nothing was ever kept for them."""

        def read(connection: sqlite3.Connection) -> T | None:
            owner = owner_of(connection, user_id)
            return None if owner is None else work(connection, owner)

        return await self._file.read(read)

    async def _newest(self, user_id: str | None, limit: int, time_range: Range | None) -> list[Episode]:
        return await self._of(user_id, lambda c, owner: episodes.newest(c, owner, limit, span(time_range))) or []

    async def _by_words(
        self, user_id: str | None, query: str, limit: int, time_range: Range | None
    ) -> list[EpisodeMatch]:
        return await self._of(user_id, lambda c, owner: _by_words(c, owner, query, limit, span(time_range))) or []

    async def _by_both(
        self,
        user_id: str | None,
        query: str,
        vector: Sequence[float] | None,
        limit: int,
        time_range: Range | None,
        alpha: float,
    ) -> list[EpisodeMatch]:
        times = span(time_range)
        return await self._of(user_id, lambda c, owner: _by_both(c, owner, query, vector, limit, times, alpha)) or []

    async def _last_of_session(self, user_id: str | None, session_id: str, count: int) -> list[Episode]:
        return await self._of(user_id, lambda c, owner: episodes.last_of_session(c, owner, session_id, count)) or []

    async def _write_block(self, user_id: str | None, name: str, content: str, *, append: bool) -> None:
        await self._file.write(lambda connection: _write_block(connection, user_id, name, content, append=append))

    async def _check_isolation(self, user_id: str | None) -> None:
        warn_unless_isolated(user_id, named_users=user_id is None and await self._file.read(has_named_owners))


def _by_words(
    connection: sqlite3.Connection, owner: int, query: str, limit: int, times: tuple[int, int]
) -> list[EpisodeMatch]:
    found = episodes.by_words(connection, owner, query, limit, times)
    return episodes.matches(connection, found.items(), by_vector={}, by_words=found)


def _by_both(
    connection: sqlite3.Connection,
    owner: int,
    query: str,
    vector: Sequence[float] | None,
    limit: int,
    times: tuple[int, int],
    alpha: float,
) -> list[EpisodeMatch]:
    from memory.core.vector_stores.ranking import fused  # brings NumPy, which is slow to import

    pool = max(4 * limit, 20)
    words = episodes.by_words(connection, owner, query, pool, times) if alpha < 1 else {}
    near = {} if vector is None else episodes.by_vector(connection, owner, vector, pool, times)
    scores = fused([(alpha, list(near)), (1 - alpha, list(words))])
    best = sorted(scores.items(), key=lambda pair: (pair[1], pair[0]), reverse=True)[: max(limit, 0)]
    return episodes.matches(connection, best, by_vector=near, by_words=words)


def _blocks(connection: sqlite3.Connection, owner: int) -> list[MemoryBlock]:
    rows = connection.execute(
        "SELECT name, content, updated_at, pinned_order FROM block WHERE owner = ? ORDER BY pinned_order, place",
        (owner,),
    )
    return [
        MemoryBlock(name=name, content=content, updated_at=moment(updated_at), pinned_order=order)
        for name, content, updated_at, order in rows
    ]


def _write_block(connection: sqlite3.Connection, user_id: str | None, name: str, content: str, *, append: bool) -> None:
    owner = owner_of(connection, user_id, create=True)
    connection.execute(
        "INSERT INTO block (owner, name, content, updated_at) VALUES (?, ?, ?, ?) ON CONFLICT (owner, name)"
        " DO UPDATE SET content = iif(?, block.content, '') || excluded.content, updated_at = excluded.updated_at",
        (owner, name, content, instant(utcnow()), append),
    )


def _profile(connection: sqlite3.Connection, owner: int, user_id: str | None) -> MemoryProfile:
    (count,) = connection.execute("SELECT episodes FROM owner WHERE id = ?", (owner,)).fetchone()
    newest = episodes.newest(connection, owner, 1, span(None))
    return MemoryProfile(
        user_id=user_id,
        episode_count=count,
        last_seen=newest[0].occurred_at if newest else None,
        recent_sessions=episodes.recent_sessions(connection, owner, 10),
    )


def _forget(
    connection: sqlite3.Connection,
    user_id: str | None,
    session_id: str | None,
    before: datetime | None,
    *,
    with_facts: bool,
) -> int:
    owner = owner_of(connection, user_id)
    if owner is None:
        return 0
    until = None if before is None else instant(before)
    ids = episodes.erase(connection, owner, session_id, until)
    count = len(ids)
    if with_facts:
        count += fact_rows.erase(connection, user_id, sources=ids) if ids else 0
        count += fact_rows.erase(connection, user_id, before=before) if session_id is None else 0
    if session_id is None:
        connection.execute(
            "DELETE FROM block WHERE owner = ? AND updated_at < ?", (owner, EVERYTHING if until is None else until)
        )
    drop_if_empty(connection, owner)
    return count


def _bytes(vector: list[float]) -> bytes:
    """A vector of unit length as float32."""
    length = sum(part * part for part in vector) ** 0.5
    return array("f", [part / length for part in vector] if length else vector).tobytes()
