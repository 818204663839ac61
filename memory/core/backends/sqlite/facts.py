"""Facts in a SQLite file, by the rules of `memory.core.facts`."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from sys import maxsize

from loom.messages import utcnow
from memory.core.backends.sqlite.file import SqliteFile, drop_if_empty, has_named_owners, instant, owner_of
from memory.core.facts import best, cosine, left_of
from memory.core.lexical import LexicalIndex
from memory.core.protocol import Embedder
from memory.core.recall import warn_unless_isolated
from memory.core.values import Fact, as_utc, canonical_predicate

Vector = Sequence[float]

_FIND = """
SELECT body FROM fact
WHERE owner = :owner
  AND (:subject IS NULL OR subject = :subject)
  AND (:predicate IS NULL OR predicate = :predicate)
  AND (:object IS NULL OR object = :object)
  AND (:at IS NULL OR valid_from <= :at AND coalesce(valid_until > :at, TRUE))
ORDER BY recorded_at DESC, place DESC
LIMIT :limit
"""


class SqliteFactStore:
    """Facts partitioned by user, found by words or, with an embedder, by cosine similarity.

    A search looks at every fact of the user that holds. Facts may lie in the file of a SqliteMemory.
    """

    def __init__(self, path: str | Path | SqliteFile, *, embedder: Embedder | None = None) -> None:
        self.file = path if isinstance(path, SqliteFile) else SqliteFile(path)
        self._embedder = embedder

    @property
    def path(self) -> Path:
        return self.file.path

    @property
    def embedder(self) -> Embedder | None:
        return self._embedder

    async def append(self, fact: Fact) -> str:
        (fact_id,) = await self.append_many([fact])
        return fact_id

    async def append_many(self, facts: Iterable[Fact]) -> list[str]:
        """Add facts, each under its own user, all of them or none. The embedder is called once, before."""
        facts = list(facts)
        vectors: Sequence[Vector | None] = [None] * len(facts)
        if self._embedder is not None and facts:
            vectors = await self._embedder.embed_batch([fact.text() for fact in facts])

        def add(connection: sqlite3.Connection) -> None:
            for fact, vector in zip(facts, vectors, strict=True):
                _add(connection, fact, vector)

        if facts:
            await self.file.write(add)
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
            "at": None if valid_at is None else instant(valid_at),
            "limit": max(limit, 0),
        }

        def find(connection: sqlite3.Connection) -> list[Fact]:
            return _read(connection.execute(_FIND, {"owner": owner_of(connection, user_id), **asked}))

        return await self.file.read(find)

    async def recall_text(
        self, query: str, *, limit: int = 5, valid_at: datetime | None = None, user_id: str | None = None
    ) -> list[Fact]:
        warn_unless_isolated(user_id, named_users=user_id is None and await self.file.read(has_named_owners))
        moment = utcnow() if valid_at is None else as_utc(valid_at)
        if not query.strip():
            return await self.query(valid_at=moment, limit=limit, user_id=user_id)
        vector = None if self._embedder is None else await self._embedder.embed(query)

        def recall(connection: sqlite3.Connection) -> list[Fact]:
            return best(_scored(_holding(connection, user_id, moment), query, vector), limit)

        return await self.file.read(recall)

    async def all_facts(self) -> list[Fact]:
        return await self.file.read(
            lambda connection: _read(connection.execute("SELECT body FROM fact ORDER BY place"))
        )

    async def forget(
        self, *, user_id: str | None, before: datetime | None = None, sources: Collection[str] | None = None
    ) -> int:
        def forget(connection: sqlite3.Connection) -> int:
            erased = erase(connection, user_id, before=before, sources=sources)
            drop_if_empty(connection, owner_of(connection, user_id))
            return erased

        return await self.file.erase(forget)

    async def aclose(self) -> None:
        await self.file.aclose()


def erase(
    connection: sqlite3.Connection,
    user_id: str | None,
    *,
    before: datetime | None = None,
    sources: Collection[str] | None = None,
) -> int:
    """Erase what `ErasableFactStore.forget` erases, within the transaction of the caller."""
    owner = owner_of(connection, user_id)
    until = None if before is None else as_utc(before)
    erased = 0
    rows = connection.execute("SELECT place, body FROM fact WHERE owner = ?", (owner,)).fetchall()
    for place, body in rows:
        fact = Fact.model_validate_json(body)
        rest = left_of(fact, before=until, sources=sources)
        if rest is None:
            connection.execute("DELETE FROM fact WHERE place = ?", (place,))
            erased += 1
        elif rest is not fact:
            connection.execute("UPDATE fact SET body = ? WHERE place = ?", (rest.model_dump_json(), place))
    return erased


def _add(connection: sqlite3.Connection, fact: Fact, vector: Vector | None) -> None:
    owner = owner_of(connection, fact.user_id, create=True)
    begins = instant(fact.valid_from)
    others = (owner, fact.subject, fact.predicate, fact.object)
    connection.execute("DELETE FROM fact WHERE owner = ? AND id = ?", (owner, fact.id))
    connection.execute(
        "UPDATE fact SET valid_until = ?, body = json_set(body, '$.valid_until', ?)"
        " WHERE owner = ? AND subject = ? AND predicate = ? AND object <> ?"
        " AND valid_until IS NULL AND valid_from <= ?",
        (begins, fact.valid_from.isoformat(), *others, begins),
    )
    following = connection.execute(
        "SELECT body FROM fact WHERE owner = ? AND subject = ? AND predicate = ? AND object <> ? AND valid_from > ?"
        " ORDER BY valid_from LIMIT 1",
        (*others, begins),
    )
    for later in _read(following):
        ends = later.valid_from if fact.valid_until is None else min(later.valid_from, fact.valid_until)
        fact = fact.model_copy(update={"valid_until": ends})
    connection.execute(
        "INSERT INTO fact (owner, subject, predicate, object, id, valid_from, valid_until, recorded_at, body, vector)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *others,
            fact.id,
            begins,
            None if fact.valid_until is None else instant(fact.valid_until),
            instant(fact.recorded_at),
            fact.model_dump_json(),
            None if vector is None else array("f", vector).tobytes(),
        ),
    )


def _holding(connection: sqlite3.Connection, user_id: str | None, moment: datetime) -> list[tuple[Fact, bytes | None]]:
    at = instant(moment)
    rows = connection.execute(
        "SELECT body, vector FROM fact WHERE owner = ? AND valid_from <= ? AND coalesce(valid_until > ?, TRUE)"
        " ORDER BY place",
        (owner_of(connection, user_id), at, at),
    )
    return [(Fact.model_validate_json(body), vector) for body, vector in rows]


def _scored(facts: Sequence[tuple[Fact, bytes | None]], query: str, vector: Vector | None) -> list[tuple[float, Fact]]:
    if vector is not None:
        size = 4 * len(vector)  # vectors of another size are those of another embedder
        return [(cosine(vector, array("f", kept)), fact) for fact, kept in facts if kept and len(kept) == size]
    index = LexicalIndex()
    for fact, _ in facts:
        index.add(fact.text())
    return [(score, facts[number][0]) for number, score in index.scores(query, maxsize).items()]


def _read(rows: Iterable[tuple[str]]) -> list[Fact]:
    return [Fact.model_validate_json(body) for (body,) in rows]
