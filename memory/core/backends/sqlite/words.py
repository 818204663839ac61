"""Which episode contains which words: the index of `memory.core.lexical`, in a table.

A table of ours and not SQLite's FTS5: every user's scores are made of that user's episodes alone, the newest of a word
are found without reading the others, and what is erased is gone.
"""

from __future__ import annotations

import sqlite3
from collections import Counter

from memory.core.lexical import part, plan, weight, words


def enter(connection: sqlite3.Connection, owner: int, place: int, at: int, text: str) -> None:
    found = words(text)
    connection.executemany(
        "INSERT INTO word (owner, word, at, place, times, length) VALUES (?, ?, ?, ?, ?, ?)",
        [(owner, word, at, place, times, len(found)) for word, times in Counter(found).items()],
    )
    _count(connection, owner, +1, len(found))


def remove(connection: sqlite3.Connection, owner: int, place: int, at: int, text: str) -> None:
    found = words(text)
    connection.executemany(
        "DELETE FROM word WHERE owner = ? AND word = ? AND at = ? AND place = ?",
        [(owner, word, at, place) for word in set(found)],
    )
    _count(connection, owner, -1, -len(found))


def scores(
    connection: sqlite3.Connection, owner: int, query: str, limit: int, times: tuple[int, int]
) -> dict[tuple[int, int], float]:
    """(at, place) → BM25 score of episodes that share a word with the query."""
    texts, total = connection.execute("SELECT episodes, words FROM owner WHERE id = ?", (owner,)).fetchone()
    counts = _counts(connection, owner, query)
    found: dict[tuple[int, int], float] = {}
    for word, most in plan(counts, texts=texts, limit=limit):
        newest = connection.execute(
            "SELECT at, place, times, length FROM word WHERE owner = ? AND word = ? AND at BETWEEN ? AND ?"
            " ORDER BY at DESC, place DESC LIMIT ?",
            (owner, word, *times, most),
        )
        tells = weight(counts[word], texts)
        for at, place, times_there, length in newest:
            found[at, place] = found.get((at, place), 0.0) + tells * part(times_there, length, total / texts)
    return found


def _counts(connection: sqlite3.Connection, owner: int, query: str) -> dict[str, int]:
    """In how many episodes each word of the query occurs."""
    count = "SELECT count(*) FROM word WHERE owner = ? AND word = ?"
    return {word: connection.execute(count, (owner, word)).fetchone()[0] for word in words(query)}


def _count(connection: sqlite3.Connection, owner: int, episodes: int, found: int) -> None:
    connection.execute(
        "UPDATE owner SET episodes = episodes + ?, words = words + ? WHERE id = ?", (episodes, found, owner)
    )
