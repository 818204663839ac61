"""Episodes in the database: kept, found by time, word and vector, and erased. Everything runs within a transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from memory.core.backends.postgres.database import owner_of
from memory.core.backends.postgres.search import Found, Searched, written_vector, written_words
from memory.core.backends.postgres.tables import EPISODE
from memory.core.history import Range
from memory.core.values import Episode, as_utc

_NEWEST_FIRST = "at DESC, place DESC"
_SEARCHED = Searched(
    EPISODE,
    fits="(%(since)s::timestamptz IS NULL OR at BETWEEN %(since)s AND %(until)s)",
    newest=_NEWEST_FIRST,
    ties=_NEWEST_FIRST,
)

_KEEP = """
INSERT INTO loom_memory_episode (namespace, owner, id, session, at, body, words, length{column})
VALUES (%(namespace)s, %(owner)s, %(id)s, %(session)s, %(at)s, %(body)s, %(words)s::tsvector, %(length)s{value})
ON CONFLICT (namespace, owner, id) DO UPDATE SET place = excluded.place, session = excluded.session, at = excluded.at,
    body = excluded.body, words = excluded.words, length = excluded.length{replaced}
"""
_VECTOR = {"column": ", embedding", "value": ", %(vector)s::vector", "replaced": ", embedding = excluded.embedding"}
_NO_VECTOR = {"column": "", "value": "", "replaced": ""}
_NEWEST = """
SELECT body FROM loom_memory_episode
WHERE namespace = %(namespace)s AND owner = %(owner)s
  AND (%(since)s::timestamptz IS NULL OR at BETWEEN %(since)s AND %(until)s)
ORDER BY at DESC, place DESC LIMIT %(limit)s
"""
_ALL = """
SELECT body FROM loom_memory_episode WHERE namespace = %(namespace)s AND owner = %(owner)s ORDER BY at, place
"""
_LAST_OF_SESSION = """
SELECT body FROM loom_memory_episode
WHERE namespace = %(namespace)s AND owner = %(owner)s AND session = %(session)s
ORDER BY at DESC, place DESC LIMIT %(limit)s
"""
_SEEN = "SELECT count(*), max(at) FROM loom_memory_episode WHERE namespace = %(namespace)s AND owner = %(owner)s"
_SESSIONS = """
SELECT session FROM loom_memory_episode WHERE namespace = %(namespace)s AND owner = %(owner)s
GROUP BY session ORDER BY max(at) DESC, max(place) DESC LIMIT %(limit)s
"""
_MATCHING = """
SELECT id FROM loom_memory_episode
WHERE namespace = %(namespace)s AND owner = %(owner)s
  AND (%(session)s::text IS NULL OR session = %(session)s)
  AND (%(before)s::timestamptz IS NULL OR at < %(before)s)
"""
_ERASE = """
DELETE FROM loom_memory_episode
WHERE namespace = %(namespace)s AND owner = %(owner)s
  AND (%(session)s::text IS NULL OR session = %(session)s)
  AND (%(before)s::timestamptz IS NULL OR at < %(before)s)
RETURNING id
"""
_HAS_NAMED = "SELECT EXISTS (SELECT FROM loom_memory_episode WHERE namespace = %s AND owner > '')"

Scope = dict[str, Any]


def scope(namespace: str, user_id: str | None) -> Scope:
    """Whose rows a statement is about."""
    return {"namespace": namespace, "owner": owner_of(user_id)}


async def keep(
    connection: Any, namespace: str, episode: Episode, vector: Sequence[float] | None, *, with_vectors: bool
) -> None:
    mine = scope(namespace, episode.user_id)
    written, length = written_words(f"{episode.input} {episode.output}", **mine)
    values = {
        **mine,
        "id": episode.id,
        "session": episode.session_id,
        "at": episode.occurred_at,
        "body": episode.model_dump_json(),
        "words": written,
        "length": length,
        "vector": None if vector is None else written_vector(vector),
    }
    await connection.execute(_KEEP.format(**(_VECTOR if with_vectors else _NO_VECTOR)), values)


async def newest(connection: Any, mine: Scope, limit: int, time_range: Range | None) -> list[Episode]:
    return await _read(connection, _NEWEST, {**mine, **_times(time_range), "limit": max(limit, 0)})


async def all_of(connection: Any, mine: Scope) -> list[Episode]:
    return await _read(connection, _ALL, mine)


async def last_of_session(connection: Any, mine: Scope, session_id: str, count: int) -> list[Episode]:
    found = await _read(connection, _LAST_OF_SESSION, {**mine, "session": session_id, "limit": max(count, 0)})
    return found[::-1]


async def seen(connection: Any, mine: Scope) -> tuple[int, datetime | None]:
    """How many episodes there are, and when the last one was."""
    [(count, last)] = await (await connection.execute(_SEEN, mine)).fetchall()
    return count, last


async def recent_sessions(connection: Any, mine: Scope, count: int) -> list[str]:
    rows = await (await connection.execute(_SESSIONS, {**mine, "limit": count})).fetchall()
    return [session for (session,) in rows]


async def by_words(connection: Any, mine: Scope, query: str, limit: int, time_range: Range | None) -> list[Found]:
    return await _SEARCHED.by_words(connection, query, limit, {**mine, **_times(time_range)})


async def by_vector(
    connection: Any, mine: Scope, vector: Sequence[float], limit: int, time_range: Range | None
) -> list[Found]:
    return await _SEARCHED.by_vector(connection, vector, limit, {**mine, **_times(time_range)})


async def ids_that_match(connection: Any, mine: Scope, session_id: str | None, before: datetime | None) -> set[str]:
    return await _ids(connection, _MATCHING, mine, session_id, before)


async def erase(connection: Any, mine: Scope, session_id: str | None, before: datetime | None) -> set[str]:
    """Erase what matches and return the ids."""
    return await _ids(connection, _ERASE, mine, session_id, before)


async def has_named_owners(connection: Any, namespace: str) -> bool:
    [(there,)] = await (await connection.execute(_HAS_NAMED, (namespace,))).fetchall()
    return bool(there)


def read(bodies: Iterable[str]) -> list[Episode]:
    return [Episode.model_validate_json(body) for body in bodies]


async def _read(connection: Any, statement: str, values: Scope) -> list[Episode]:
    rows = await (await connection.execute(statement, values)).fetchall()
    return read(body for (body,) in rows)


async def _ids(
    connection: Any, statement: str, mine: Scope, session_id: str | None, before: datetime | None
) -> set[str]:
    values = {**mine, "session": session_id, "before": None if before is None else as_utc(before)}
    rows: Collection[tuple[str]] = await (await connection.execute(statement, values)).fetchall()
    return {row_id for (row_id,) in rows}


def _times(time_range: Range | None) -> Scope:
    if time_range is None:
        return {"since": None, "until": None}
    return {"since": as_utc(time_range[0]), "until": as_utc(time_range[1])}
