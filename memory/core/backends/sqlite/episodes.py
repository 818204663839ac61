"""Episodes in the file: kept, found by time, word and vector, and erased. Everything runs within a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from memory.core.backends.sqlite import words
from memory.core.backends.sqlite.file import instant
from memory.core.values import Episode, EpisodeMatch

Times = tuple[int, int]
Key = tuple[int, int]  # when, and what came first of the same moment


def keep(connection: sqlite3.Connection, owner: int, episode: Episode, vector: bytes | None) -> None:
    old = connection.execute("SELECT place, body FROM episode WHERE owner = ? AND id = ?", (owner, episode.id))
    _drop(connection, owner, _placed(old))
    at = instant(episode.occurred_at)
    place = connection.execute(
        "INSERT INTO episode (owner, id, session, at, body, vector) VALUES (?, ?, ?, ?, ?, ?)",
        (owner, episode.id, episode.session_id, at, episode.model_dump_json(), vector),
    ).lastrowid
    assert place is not None
    words.enter(connection, owner, place, at, _text(episode))


def newest(connection: sqlite3.Connection, owner: int, limit: int, times: Times) -> list[Episode]:
    found = connection.execute(
        "SELECT body FROM episode WHERE owner = ? AND at BETWEEN ? AND ? ORDER BY at DESC, place DESC LIMIT ?",
        (owner, *times, max(limit, 0)),
    )
    return _read(found)


def all_of(connection: sqlite3.Connection, owner: int) -> list[Episode]:
    return _read(connection.execute("SELECT body FROM episode WHERE owner = ? ORDER BY at, place", (owner,)))


def last_of_session(connection: sqlite3.Connection, owner: int, session_id: str, count: int) -> list[Episode]:
    found = connection.execute(
        "SELECT body FROM episode WHERE owner = ? AND session = ? ORDER BY at DESC, place DESC LIMIT ?",
        (owner, session_id, max(count, 0)),
    )
    return _read(found)[::-1]


def recent_sessions(connection: sqlite3.Connection, owner: int, count: int) -> list[str]:
    found = connection.execute(
        "SELECT session FROM episode WHERE owner = ? GROUP BY session ORDER BY max(at) DESC, max(place) DESC LIMIT ?",
        (owner, count),
    )
    return [session for (session,) in found]


def by_words(connection: sqlite3.Connection, owner: int, query: str, limit: int, times: Times) -> dict[Key, float]:
    """The episodes that share words with the query, best first, equally good ones newest first."""
    found = words.scores(connection, owner, query, limit, times)
    best = sorted(found, key=lambda key: (found[key], key), reverse=True)
    return {key: found[key] for key in best[: max(limit, 0)]}


def by_vector(
    connection: sqlite3.Connection, owner: int, vector: Sequence[float], limit: int, times: Times
) -> dict[Key, float]:
    """The nearest episodes by cosine, nearest first. Vectors of another size, of another embedder, are passed over."""
    import numpy as np  # slow to import

    from memory.core.vector_stores.ranking import best
    from memory.core.vector_stores.rows import unit

    rows = connection.execute(
        "SELECT at, place, vector FROM episode WHERE owner = ? AND at BETWEEN ? AND ? AND length(vector) = ?"
        " ORDER BY at DESC, place DESC",
        (owner, *times, 4 * len(vector)),
    ).fetchall()
    (query,) = unit([vector], len(vector), of="the query")
    vectors = np.frombuffer(b"".join(row[2] for row in rows), dtype=np.float32).reshape(-1, len(vector))
    cosines = np.clip(vectors @ query, -1, 1)
    return {rows[place][:2]: float(cosines[place]) for place in best(cosines, max(limit, 0))}


def matches(
    connection: sqlite3.Connection,
    scores: Iterable[tuple[Key, float]],
    *,
    by_vector: dict[Key, float],
    by_words: dict[Key, float],
) -> list[EpisodeMatch]:
    return [
        EpisodeMatch(
            episode=_read(connection.execute("SELECT body FROM episode WHERE place = ?", (key[1],)))[0],
            score=score,
            vector_score=by_vector.get(key),
            bm25_score=by_words.get(key),
        )
        for key, score in scores
    ]


def ids_that_match(connection: sqlite3.Connection, owner: int, session_id: str | None, before: int | None) -> set[str]:
    return {row[1].id for row in _matching(connection, owner, session_id=session_id, before=before)}


def erase(connection: sqlite3.Connection, owner: int, session_id: str | None, before: int | None) -> set[str]:
    """Erase what matches and return the ids."""
    rows = _matching(connection, owner, session_id=session_id, before=before)
    _drop(connection, owner, rows)
    return {episode.id for _, episode in rows}


def _matching(
    connection: sqlite3.Connection,
    owner: int,
    *,
    session_id: str | None,
    before: int | None,
) -> list[tuple[int, Episode]]:
    found = connection.execute(
        "SELECT place, body FROM episode WHERE owner = :owner"
        " AND (:session IS NULL OR session = :session) AND (:before IS NULL OR at < :before)",
        {"owner": owner, "session": session_id, "before": before},
    )
    return _placed(found)


def _placed(rows: Iterable[tuple[int, str]]) -> list[tuple[int, Episode]]:
    return [(place, Episode.model_validate_json(body)) for place, body in rows]


def _drop(connection: sqlite3.Connection, owner: int, rows: Iterable[tuple[int, Episode]]) -> None:
    for place, episode in rows:
        words.remove(connection, owner, place, instant(episode.occurred_at), _text(episode))
        connection.execute("DELETE FROM episode WHERE place = ?", (place,))


def _read(rows: Iterable[tuple[str]]) -> list[Episode]:
    return [Episode.model_validate_json(body) for (body,) in rows]


def _text(episode: Episode) -> str:
    return f"{episode.input} {episode.output}"
