"""Which episode contains which words: the index of `memory.core.lexical`, in a table.

A table of ours and not SQLite's FTS5: every user's scores are made of that user's episodes alone, the newest of a word
are found without reading the others, and what is erased is gone.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from math import log

from memory.core.lexical import BUDGET, COMMON_FROM, COMMON_WINDOW, K1, B, words


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
    short, long = K1 * (1 - B), K1 * B * texts / (total or 1)
    found: dict[tuple[int, int], float] = {}
    for word, count, most in _plan(connection, owner, query, limit, texts):
        weight = log(1 + (texts - count + 0.5) / (count + 0.5)) * (K1 + 1)
        newest = connection.execute(
            "SELECT at, place, times, length FROM word WHERE owner = ? AND word = ? AND at BETWEEN ? AND ?"
            " ORDER BY at DESC, place DESC LIMIT ?",
            (owner, word, *times, most),
        )
        for at, place, times_there, length in newest:
            part = weight * times_there / (times_there + short + long * length)
            found[at, place] = found.get((at, place), 0.0) + part
    return found


def _plan(connection: sqlite3.Connection, owner: int, query: str, limit: int, texts: int) -> list[tuple[str, int, int]]:
    """What to score: a word, how many episodes contain it, and how many of them to look at."""
    counted = [
        (
            connection.execute("SELECT count(*) FROM word WHERE owner = ? AND word = ?", (owner, word)).fetchone()[0],
            word,
        )
        for word in dict.fromkeys(words(query))
    ]
    found = sorted((count, word) for count, word in counted if count)
    telling = [(count, word) for count, word in found if texts < COMMON_FROM or 2 * count <= texts]
    if not telling:
        return [(word, count, max(limit, COMMON_WINDOW)) for count, word in found[:1]]
    plan, left = [], max(limit, BUDGET)
    for count, word in telling:
        if left <= 0:
            break
        plan.append((word, count, left))
        left -= count
    return plan


def _count(connection: sqlite3.Connection, owner: int, episodes: int, found: int) -> None:
    connection.execute(
        "UPDATE owner SET episodes = episodes + ?, words = words + ? WHERE id = ?", (episodes, found, owner)
    )
