"""Vectors on the server: compared one by one or, where it has a search module, found by an index.

Each vector is a hash of its own, since that is what such a module indexes: by itself, and also what was stored before
the index was made. There is an index for each prefix and each size of vectors.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from loom.errors import MemoryStoreError
from memory.core.backends.redis.keys import Instants, Keys, instant, shared
from memory.core.backends.redis.server import Command, RedisServer
from memory.core.backends.redis.words import Key
from memory.core.values import Episode

_BATCH = 500
# One answer with five hundred vectors: the client takes several times as long over five hundred answers.
_FIELD_OF_EACH = """
local found = {}
for place, key in ipairs(KEYS) do found[place] = redis.call("HGET", key, ARGV[1]) end
return found
"""
_EPOCH = instant(datetime(1970, 1, 1, tzinfo=UTC))  # the index knows 53 bits of a number: microseconds since then fit


class VectorIndex:
    """The vectors under a prefix. Whether there is an index changes how long a search takes, not whose it finds."""

    def __init__(self, server: RedisServer, *, prefix: str, name: str, use_index: bool) -> None:
        self._server, self._prefix, self._name = server, shared(prefix, "vectors:"), f"{name}:{prefix}"
        self._use_index = use_index
        self._ready: set[int] = set()

    def key(self, keys: Keys, place: int) -> str:
        return f"{self._prefix}{keys.owner}:{place}"

    def kept(self, keys: Keys, place: int, episode: Episode, vector: Sequence[float]) -> Command:
        at = instant(episode.occurred_at) - _EPOCH
        return ("HSET", self.key(keys, place), "owner", _tag(keys), "at", at, _field(vector), _bytes(vector))

    async def ensure(self, dimensions: int) -> bool:
        """Make the index unless it is there. Whether there is one that is complete.

        Servers without a search module have none; one that was made over stored vectors has to read them first.
        """
        if self._use_index and dimensions not in self._ready:
            indexes = await self._indexes()
            if indexes is None:
                self._use_index = False
                return False
            if f"{self._name}{dimensions}" not in indexes:
                await self._make(dimensions)
            if await self._is_complete(dimensions):
                self._ready.add(dimensions)
        return self._use_index and dimensions in self._ready

    async def nearest(
        self, keys: Keys, vector: Sequence[float], limit: int, times: Instants
    ) -> dict[Key, float] | None:
        """(when, place) → cosine of the user's nearest vectors, found by the index; None when there is none."""
        if not await self.ensure(len(vector)):
            return None
        if limit <= 0:
            return {}
        theirs = f"@owner:{{{_tag(keys)}}} @at:[{times[0] - _EPOCH} {times[1] - _EPOCH}]"
        (answer,) = await self._server.bytes_of(
            (
                *("FT.SEARCH", f"{self._name}{len(vector)}"),
                f"({theirs})=>[KNN {limit} @{_field(vector)} $vector AS distance]",
                *("PARAMS", 2, "vector", _bytes(vector), "LIMIT", 0, limit, "RETURN", 2, "distance", "at"),
                *("DIALECT", 2),
            )
        )
        return {
            (int(row[b"at"]) + _EPOCH, int(name.rpartition(b":")[2])): 1 - float(row[b"distance"])
            for name, row in _rows(answer)
        }

    async def nearest_of(self, keys: Keys, candidates: Sequence[Key], vector: Sequence[float]) -> dict[Key, float]:
        """(when, place) → cosine of each candidate that has a vector of this size, compared one by one."""
        import numpy as np  # slow to import

        query = np.frombuffer(_bytes(vector), dtype=np.float32)
        cosines: dict[Key, float] = {}
        for start in range(0, len(candidates), _BATCH):
            batch = candidates[start : start + _BATCH]
            names = [self.key(keys, place) for _, place in batch]
            (stored,) = await self._server.bytes_of(("EVAL", _FIELD_OF_EACH, len(names), *names, _field(vector)))
            there = [(key, kept) for key, kept in zip(batch, stored, strict=True) if kept]
            rows = np.frombuffer(b"".join(kept for _, kept in there), dtype=np.float32).reshape(-1, len(vector))
            found = np.clip(rows @ query, -1, 1)
            cosines |= {key: float(cosine) for (key, _), cosine in zip(there, found, strict=True)}
        return cosines

    async def _indexes(self) -> set[str] | None:
        """What indexes the server has; None when it has no search module."""
        try:
            (names,) = await self._server.ask(("FT._LIST",))
        except MemoryStoreError as error:
            if "unknown command" not in str(error):
                raise
            return None
        return {name.decode() if isinstance(name, bytes) else name for name in names}

    async def _make(self, dimensions: int) -> None:
        schema = ("owner", "TAG", "at", "NUMERIC", f"v{dimensions}", "VECTOR", "HNSW", 6)
        kind = ("TYPE", "FLOAT32", "DIM", dimensions, "DISTANCE_METRIC", "COSINE")
        named = (f"{self._name}{dimensions}", "ON", "HASH", "PREFIX", 1, self._prefix)
        try:
            await self._server.bytes_of(("FT.CREATE", *named, "SCHEMA", *schema, *kind))
        except MemoryStoreError as error:
            if "already exists" not in str(error):
                raise

    async def _is_complete(self, dimensions: int) -> bool:
        (info,) = await self._server.bytes_of(("FT.INFO", f"{self._name}{dimensions}"))
        fields = info if isinstance(info, dict) else dict(zip(info[::2], info[1::2], strict=True))
        return fields.get(b"indexing", fields.get(b"backfill_in_progress")) in {0, b"0"}  # RediSearch; valkey-search


def _tag(keys: Keys) -> str:
    """Whose it is, as the index can tell exactly: it takes no notice of case and has marks of its own."""
    return hashlib.sha256(keys.owner.encode()).hexdigest()


def _field(vector: Sequence[float]) -> str:
    return f"v{len(vector)}"  # one for each size, or vectors of another embedder would be compared


def _bytes(vector: Sequence[float]) -> bytes:
    """A vector of unit length as float32."""
    length = sum(part * part for part in vector) ** 0.5
    return array("f", [part / length for part in vector] if length else vector).tobytes()


def _rows(answer: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The name and the fields of each row, in either form in which servers answer."""
    if isinstance(answer, dict):
        return [(row[b"id"], row[b"extra_attributes"]) for row in answer[b"results"]]
    return [
        (name, dict(zip(row[::2], row[1::2], strict=True)))
        for name, row in zip(answer[1::2], answer[2::2], strict=True)
    ]
