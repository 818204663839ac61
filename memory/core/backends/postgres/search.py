"""Finding rows of one owner by words, with PostgreSQL's full-text search, and by vectors, with pgvector.

A text is taken apart by `memory.core.lexical.words`, as in every backend, and not by a language's dictionary: the same
words are found wherever a memory lies, whatever language it speaks. In the index a word begins with its owner's mark,
so that nobody's search reads what others wrote. The score is BM25 over the owner's rows, and the work is bounded: from
the rarest word to the commonest `_MOST` occurrences are scored, of each word the newest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from memory.core.backends.postgres.tables import indexed_as
from memory.core.lexical import COMMON_FROM, K1, B, words

_MOST = 128
_TEXTS, _HOLDERS = 10_000, 2_000  # so far is counted how many rows there are, and how many contain a word
_QUERY_WORDS = 32  # the longest ones of a query: they tell the most
_WORD_BYTES = 200
_TEXT_BYTES = 500_000  # a tsvector takes no more than a megabyte
_TIMES = 64
_EXACT_UP_TO = 1_000  # so many vectors are compared one by one; among more the index searches

_BY_WORDS = """
WITH asked AS (
    SELECT word, quote_literal(word)::tsquery AS query FROM unnest(%(words)s::text[]) AS asked (word)
), numbers AS (
    SELECT (SELECT count(*) FROM (SELECT FROM {table} WHERE {mine} LIMIT %(texts)s) AS few)::float8 AS texts,
        (SELECT avg(length) FROM
            (SELECT length FROM {table} WHERE {mine} ORDER BY {newest} LIMIT %(most)s) AS few)::float8 AS usual
), counted AS (
    SELECT word, query, (SELECT count(*) FROM
        (SELECT FROM {table} WHERE {mine} AND words @@ query LIMIT %(holders)s) AS few)::float8 AS holders
    FROM asked
), telling AS (
    SELECT counted.* FROM counted, numbers WHERE holders > 0 AND (texts < %(common)s OR 2 * holders <= texts)
), planned AS (
    SELECT *, sum(holders) OVER (ORDER BY holders, word) - holders AS before FROM telling
    UNION ALL
    (SELECT *, 0 FROM counted WHERE holders > 0 AND NOT EXISTS (SELECT FROM telling) ORDER BY holders, word LIMIT 1)
), scored AS (
    SELECT place, word, ln(1 + (texts - holders + 0.5) / (holders + 0.5)) * (%(k1)s + 1) * times
        / (times + %(k1)s * (1 - %(b)s + %(b)s * length / coalesce(nullif(usual, 0), 1))) AS score
    FROM numbers, planned, LATERAL (
        SELECT place, length, words FROM {table} WHERE {mine} AND {fits} AND words @@ query
        ORDER BY {newest} LIMIT %(most)s - before
    ) AS found, LATERAL (
        SELECT cardinality(positions) AS times FROM unnest(found.words) AS lexeme (lexeme, positions, weights)
        WHERE lexeme = word
    ) AS occurrences
    WHERE before < %(most)s
), total AS (
    SELECT place, sum(score ORDER BY word) AS score FROM scored GROUP BY place
)
SELECT body, score FROM total JOIN {table} USING (place) ORDER BY score DESC, {ties} LIMIT %(limit)s
"""
_HOW_MANY = """
SELECT count(*) FROM (SELECT FROM {table} WHERE {mine} AND {fits} AND embedding IS NOT NULL LIMIT %(most)s) AS few
"""
_EXACT = """
WITH near AS MATERIALIZED (
    SELECT *, embedding::vector({dimensions}) <=> %(vector)s::vector({dimensions}) AS distance
    FROM {table} WHERE {mine} AND {fits} AND vector_dims(embedding) = {dimensions}
)
SELECT body, 1 - distance FROM near ORDER BY distance, {ties} LIMIT %(limit)s
"""
_INDEXED = """
WITH near AS MATERIALIZED (
    SELECT *, embedding::{kind}({dimensions}) <=> %(vector)s::{kind}({dimensions}) AS distance
    FROM {table} WHERE {mine} AND {fits} AND vector_dims(embedding) = {dimensions}
    ORDER BY embedding::{kind}({dimensions}) <=> %(vector)s::{kind}({dimensions}) LIMIT %(limit)s
)
SELECT body, 1 - distance FROM near ORDER BY distance, {ties}
"""


@dataclass(frozen=True, slots=True)
class Found:
    body: str
    score: float


@dataclass(frozen=True, slots=True)
class Searched:
    """A table and how it is searched: which rows fit beside being of the owner, and their order."""

    table: str
    fits: str
    newest: str
    ties: str  # of equally good rows

    async def by_words(self, connection: Any, query: str, limit: int, values: Mapping[str, Any]) -> list[Found]:
        """The rows that share words with the query, best first."""
        found = [word for word in dict.fromkeys(words(query)) if len(word.encode()) <= _WORD_BYTES]
        if not found or limit <= 0:
            return []
        mark = _mark(values["namespace"], values["owner"])
        asked = {
            **values,
            "words": [mark + word for word in sorted(found, key=len, reverse=True)[:_QUERY_WORDS]],
            "limit": limit,
            "most": max(_MOST, limit),
            "texts": _TEXTS,
            "holders": _HOLDERS,
            "common": COMMON_FROM,
            "k1": K1,
            "b": B,
        }
        return await self._found(connection, _BY_WORDS, asked)

    async def by_vector(
        self, connection: Any, vector: Sequence[float], limit: int, values: Mapping[str, Any]
    ) -> list[Found]:
        """The nearest rows by cosine, nearest first. Vectors of another size, of another embedder, are passed over."""
        written, kind = written_vector(vector), indexed_as(len(vector))
        if written is None or limit <= 0:
            return []
        asked = {**values, "vector": written, "limit": limit, "most": _EXACT_UP_TO + 1}
        if kind is not None:
            [(count,)] = await self._rows(connection, _HOW_MANY, asked)
            if count > _EXACT_UP_TO:
                found = await self._found(connection, _INDEXED, asked, dimensions=len(vector), kind=kind)
                if len(found) == limit:
                    return found
        # The index gives up after a while; then, and where few rows are in question, all of them are compared.
        return await self._found(connection, _EXACT, asked, dimensions=len(vector))

    async def _found(self, connection: Any, statement: str, values: Mapping[str, Any], **parts: Any) -> list[Found]:
        return [Found(*row) for row in await self._rows(connection, statement, values, **parts)]

    async def _rows(
        self, connection: Any, statement: str, values: Mapping[str, Any], **parts: Any
    ) -> list[tuple[Any, ...]]:
        filled = statement.format(
            table=self.table,
            mine="namespace = %(namespace)s AND owner = %(owner)s",
            fits=self.fits,
            newest=self.newest,
            ties=self.ties,
            **parts,
        )
        rows: list[tuple[Any, ...]] = await (await connection.execute(filled, values)).fetchall()
        return rows


def written_words(text: str, *, namespace: str, owner: str) -> tuple[str, int]:
    """A text as a `tsvector` is written, and how many words it has. A word's places say only how often it occurs."""
    found, mark = words(text), _mark(namespace, owner)
    lexemes, size = [], 0
    for word, times in Counter(found).items():
        size += len(mark) + len(word.encode()) + 2 * min(times, _TIMES) + 8
        if size > _TEXT_BYTES:
            break
        if len(word.encode()) <= _WORD_BYTES:
            lexemes.append(f"'{mark}{word}':{','.join(map(str, range(1, min(times, _TIMES) + 1)))}")
    return " ".join(lexemes), len(found)


def written_vector(vector: Sequence[float]) -> str | None:
    """A vector of unit length as pgvector writes it; None for one without a direction."""
    length = sum(part * part for part in vector) ** 0.5
    return f"[{','.join(str(part / length) for part in vector)}]" if length else None


def _mark(namespace: str, owner: str) -> str:
    """What an owner's words begin with. Two owners may share one: it finds rows, it does not tell whose they are."""
    return f"{crc32(f'{namespace}/{owner}'.encode()):08x}:"
