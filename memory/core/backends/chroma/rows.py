"""Rows in Chroma: a text with some values, and for some of them a vector.

Chroma gives every row of a collection a vector of one size. So texts lie in one collection with a vector that says
nothing, and the vectors of each size in another: an embedder may be added, taken away or changed at any time. Vectors
come with every call, so Chroma never fetches a model of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from time import time_ns
from typing import Any, TypeVar

from loom.errors import ConfigError
from memory.core.facts import cosine

T = TypeVar("T")
Where = dict[str, Any]

NOBODY = "nobody"
_NOTHING = [0.0]
_COSINE = {"hnsw": {"space": "cosine"}}
_AT_ONCE = 5000  # fewer than Chroma takes at a time, and than SQLite, on which it stands, has variables for


@dataclass(frozen=True, slots=True)
class Row:
    """`place` says what came first."""

    owner: str
    id: str
    text: str
    values: Mapping[str, str | int] = field(default_factory=dict)
    vector: Sequence[float] | None = None
    place: int = field(default_factory=time_ns)

    @property
    def key(self) -> str:
        return key(self.owner, self.id)


def owner_of(user_id: str | None) -> str:
    """The user as a value; nobody is no user's name."""
    return NOBODY if user_id is None else f"user:{user_id}"


def key(owner: str, row_id: str) -> str:
    return json.dumps([owner, row_id])


def where(**equal: Any) -> Where:
    """The condition that values are these, or fit such operators as {"$lt": 3}; None is no condition."""
    parts: list[Where] = []
    for name, value in equal.items():
        if isinstance(value, dict):
            parts += [{name: {operator: operand}} for operator, operand in value.items()]
        elif value is not None:
            parts.append({name: value})
    return parts[0] if len(parts) == 1 else {"$and": parts}


def checked_name(name: str) -> str:
    """A collection's name that is not one of those that lie beside another."""
    if re.search(r"-(facts|blocks|\d+d)$", name):
        raise ConfigError(
            f"the collection name {name!r} ends as those do that Loom puts beside another; try 'loom_{name}s'"
        )
    return name


class Rows:
    """The rows of a collection, by way of a client."""

    def __init__(self, client: Any, name: str) -> None:
        self._client, self._name = client, name
        self._rows = client.get_or_create_collection(name, embedding_function=None)

    def put(self, rows: Iterable[Row]) -> None:
        """Store rows, in place of those with their keys. Vectors go first: one without its row is not found."""
        for some in _batches(rows):
            replaced = self._rows.get(ids=[row.key for row in some], include=[])["ids"]
            self._drop_vectors(replaced)
            for size in {len(row.vector) for row in some if row.vector is not None}:
                self._put_vectors([row for row in some if row.vector is not None and len(row.vector) == size], size)
            self._rows.upsert(**_columns(some))

    def rewrite(self, rows: Iterable[Row]) -> None:
        """Store texts and values of rows anew, and leave the vectors as they are."""
        for some in _batches(rows):
            self._rows.update(**_columns(some))

    def find(self, condition: Where) -> list[Row]:
        """The rows that fit, in the order in which they came."""
        rows = [row for found in _found(self._rows, condition, "documents", "metadatas") for row in _read(found)]
        return sorted(rows, key=lambda row: row.place)

    def at(self, keys: Iterable[str]) -> dict[str, Row]:
        """The rows that are there, by key."""
        there: dict[str, Row] = {}
        for some in _batches(keys):
            found = self._rows.get(ids=some, include=["documents", "metadatas"])
            there |= {row.key: row for row in _read(found)}
        return there

    def has(self, condition: Where) -> bool:
        return bool(self._rows.get(where=condition, limit=1, include=[])["ids"])

    def drop(self, keys: Iterable[str]) -> None:
        for some in _batches(keys):
            self._drop_vectors(some)
            self._rows.delete(ids=some)

    def drop_where(self, condition: Where) -> list[Row]:
        """Erase the rows that fit, and vectors that lost theirs; what was erased."""
        gone = self.find(condition)
        for collection in self._vector_collections():
            collection.delete(where=condition)
        for some in _batches(gone):
            self._rows.delete(ids=[row.key for row in some])
        return gone

    def nearest(self, vector: Sequence[float], condition: Where, limit: int) -> dict[str, float]:
        """The keys of the nearest rows that fit → cosine."""
        collection = self._vectors_of(len(vector))
        if limit <= 0 or not collection.count():
            return {}
        found = collection.query(
            query_embeddings=[list(vector)], n_results=limit, where=condition, include=["distances"]
        )
        near = {row_id: 1 - distance for row_id, distance in zip(found["ids"][0], found["distances"][0], strict=True)}
        return near if len(near) == limit else self._compared(vector, condition, limit)

    def vectors(self, condition: Where, size: int) -> dict[str, Sequence[float]]:
        """The vectors of that size of the rows that fit, by key."""
        pages = _found(self._vectors_of(size), condition, "embeddings")
        return {one: vector for page in pages for one, vector in zip(page["ids"], page["embeddings"], strict=True)}

    def _compared(self, vector: Sequence[float], condition: Where, limit: int) -> dict[str, float]:
        """The nearest without the index, which under a condition may find fewer rows than there are."""
        near = {key: cosine(vector, kept) for key, kept in self.vectors(condition, len(vector)).items()}
        return dict(sorted(near.items(), key=lambda pair: pair[1], reverse=True)[:limit])

    def _put_vectors(self, rows: Sequence[Row], size: int) -> None:
        self._vectors_of(size).upsert(
            ids=[row.key for row in rows],
            embeddings=[list(row.vector or ()) for row in rows],
            metadatas=[_values(row) for row in rows],
        )

    def _drop_vectors(self, keys: list[str]) -> None:
        for collection in self._vector_collections() if keys else ():
            collection.delete(ids=keys)

    def _vector_collections(self) -> list[Any]:
        pattern = re.compile(rf"{re.escape(self._name)}-\d+d")
        return [each for each in self._client.list_collections() if pattern.fullmatch(each.name)]

    def _vectors_of(self, size: int) -> Any:
        return self._client.get_or_create_collection(
            f"{self._name}-{size}d", embedding_function=None, configuration=_COSINE
        )


def _columns(rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "ids": [row.key for row in rows],
        "documents": [row.text for row in rows],
        "metadatas": [_values(row) for row in rows],
        "embeddings": [_NOTHING] * len(rows),  # or Chroma would make some, by a model that it fetches
    }


def _values(row: Row) -> dict[str, str | int]:
    return {"owner": row.owner, "place": row.place, **row.values}


def _found(collection: Any, condition: Where, *parts: str) -> list[Any]:
    """What fits, in pages: Chroma cannot give any number of rows at once."""
    include = list(parts)
    first = collection.get(where=condition, limit=_AT_ONCE, include=include)
    if len(first["ids"]) < _AT_ONCE:
        return [first] if first["ids"] else []
    keys = collection.get(where=condition, include=[])["ids"]  # but it can of keys
    return [collection.get(ids=some, include=include) for some in _batches(keys)]


def _read(found: Mapping[str, Any]) -> Iterator[Row]:
    for row_key, text, values in zip(found["ids"], found["documents"], found["metadatas"], strict=True):
        rest = {name: value for name, value in values.items() if name not in {"owner", "place"}}
        yield Row(values["owner"], json.loads(row_key)[1], text, rest, place=values["place"])


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    left = iter(items)
    while some := list(islice(left, _AT_ONCE)):
        yield some
