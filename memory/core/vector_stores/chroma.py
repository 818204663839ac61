"""Vectors in Chroma: in this process, in a folder, or on its server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import iscoroutinefunction
from threading import Lock
from typing import Any, TypeVar

import anyio.to_thread
import numpy as np

from loom.errors import ConfigError, MemoryStoreError
from loom.ids import new_id
from memory.core.chroma import OPENING, opened
from memory.core.extras import require
from memory.core.loaders.base import Chunk
from memory.core.protocol import Embedder
from memory.core.vector_stores.approximate import Hit, nearest
from memory.core.vector_stores.base import SearchResult
from memory.core.vector_stores.chroma_where import Where, is_kept, is_key, where_for
from memory.core.vector_stores.incoming import (
    Filter,
    checked_diversity,
    checked_embedder,
    chunks_of,
    embedded,
    named,
    read,
)
from memory.core.vector_stores.ranking import Floats
from memory.core.vector_stores.rows import Row, unit

COLLECTION = "loom_vectors"
T = TypeVar("T")

_OURS = "_loom"  # the field with the metadata as they were, for Chroma has neither None nor mappings, and their order
_PARTS = ["documents", "metadatas", "embeddings"]


class ChromaVectorStore:
    """Chunks in a collection of Chroma: in the folder `persist_directory`, where `client` says, or in this process.

    A score is the cosine, from -1 to 1. Chroma looks for what it understands of a filter, and the rest is applied to
    what it finds; it has no `$not`. Metadata must be JSON; the collection's distance must be the cosine.
    """

    name = "chroma"

    def __init__(
        self,
        embedder: Embedder,
        *,
        collection_name: str = COLLECTION,
        persist_directory: str | None = None,
        client: Any = None,
    ) -> None:
        self._embedder = checked_embedder(embedder)
        if client is None:
            require("chromadb", extra="chroma")
        elif persist_directory is not None:
            raise ValueError("give client= or persist_directory=, not both")
        elif iscoroutinefunction(client.get_or_create_collection):
            raise ConfigError("ChromaVectorStore wants a client of Chroma that is not asynchronous: it uses threads")
        self._collection_name, self._persist_directory, self._client = collection_name, persist_directory, client
        self._opened: Any = None
        self._turn = Lock()

    @property
    def embedder(self) -> Embedder:
        return self._embedder

    @classmethod
    async def from_chunks(
        cls,
        chunks: list[Chunk],
        *,
        embedder: Embedder,
        ids: list[str] | None = None,
        collection_name: str = COLLECTION,
        persist_directory: str | None = None,
        client: Any = None,
    ) -> ChromaVectorStore:
        store = cls(embedder, collection_name=collection_name, persist_directory=persist_directory, client=client)
        await store.add(chunks, ids)
        return store

    @classmethod
    async def from_texts(
        cls,
        texts: list[str],
        *,
        embedder: Embedder,
        metadatas: list[dict[str, Any]] | None = None,
        ids: list[str] | None = None,
        collection_name: str = COLLECTION,
        persist_directory: str | None = None,
        client: Any = None,
    ) -> ChromaVectorStore:
        return await cls.from_chunks(
            chunks_of(texts, metadatas),
            embedder=embedder,
            ids=ids,
            collection_name=collection_name,
            persist_directory=persist_directory,
            client=client,
        )

    async def add(self, chunks: list[Chunk], ids: list[str] | None = None) -> list[str]:
        """Embed all chunks in one call, then store them, some thousands at a time."""
        ids = named(chunks, ids)
        if not chunks:
            return []
        rows, vectors = await embedded(chunks, ids, self._embedder)
        metadatas = _written(rows)
        await self._on_thread(lambda collection: self._upsert(collection, rows, vectors, metadatas))
        return ids

    async def delete(self, ids: list[str]) -> None:
        def work(collection: Any) -> None:
            for some in self._batches(ids):
                collection.delete(ids=list(some))

        await self._on_thread(work)

    async def get_by_ids(self, ids: list[str]) -> list[Chunk]:
        def work(collection: Any) -> dict[str, Chunk]:
            found: dict[str, Chunk] = {}
            for some in self._batches(list(dict.fromkeys(ids))):
                got = collection.get(ids=list(some), include=_PARTS[:2])
                for chunk_id, text, metadata in zip(got["ids"], got["documents"], got["metadatas"], strict=True):
                    found[chunk_id] = _chunk(text, metadata)[1]
            return found

        chunks = await self._on_thread(work)
        return [chunks[chunk_id] for chunk_id in ids if chunk_id in chunks]

    async def count(self) -> int:
        return await self._on_thread(lambda collection: int(collection.count()))

    async def search(
        self, query: str, *, k: int = 4, filter: Filter = None, diversity: float | None = None
    ) -> list[SearchResult]:
        _check(filter, diversity)
        if k < 1 or not await self.count():
            return []
        return await self.search_by_vector(await self._embedder.embed(query), k=k, filter=filter, diversity=diversity)

    async def search_by_vector(
        self, vector: list[float], *, k: int = 4, filter: Filter = None, diversity: float | None = None
    ) -> list[SearchResult]:
        fits, diversity = read(filter), checked_diversity(diversity)
        where = where_for(filter) if filter is not None else None
        (query,) = unit([vector], self._embedder.dimensions, of="the query")

        def work(collection: Any) -> list[SearchResult]:
            return nearest(
                lambda count: _asked(collection, query, count, where),
                lambda: _everything(collection, query, where),
                total=collection.count(),
                k=k,
                fits=fits,
                diversity=diversity,
            )

        return await self._on_thread(work)

    def _upsert(
        self, collection: Any, rows: Sequence[Row], vectors: Floats, metadatas: Sequence[Mapping[str, Any]]
    ) -> None:
        for some in self._batches(range(len(rows))):
            ids = [rows[place][0] for place in some]
            old = collection.get(ids=ids, include=["metadatas"])
            # Chroma adds to the fields that are there; None takes them away.
            gone = {id: dict.fromkeys(fields or {}) for id, fields in zip(old["ids"], old["metadatas"], strict=True)}
            collection.upsert(
                ids=ids,
                embeddings=vectors[list(some)],
                documents=[rows[place][1].content for place in some],
                metadatas=[{**gone.get(rows[place][0], {}), **metadatas[place]} for place in some],
            )

    def _batches(self, items: Sequence[T]) -> Iterator[Sequence[T]]:
        size = self._client.get_max_batch_size()
        for start in range(0, len(items), size):
            yield items[start : start + size]

    async def _on_thread(self, work: Callable[[Any], T]) -> T:
        def done() -> T:
            from chromadb.errors import ChromaError

            try:
                return work(self._open())
            except ChromaError as error:
                raise MemoryStoreError(f"Chroma, collection {self._collection_name!r}: {error}") from error

        return await anyio.to_thread.run_sync(done)

    def _open(self) -> Any:
        with self._turn:
            if self._opened is None:
                self._client = self._client or self._own_client()
                self._opened = _collection(self._client, self._collection_name)
            return self._opened

    def _own_client(self) -> Any:
        if self._persist_directory is None:
            self._collection_name = new_id(self._collection_name)  # those of one process are all in the same place
        with OPENING:
            return opened(None if self._persist_directory is None else str(self._persist_directory))


def _collection(client: Any, name: str) -> Any:
    made = client.get_or_create_collection(
        name=name, configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
    )
    kind = made.configuration_json
    space = ((kind.get("hnsw") or kind.get("spann")) or {}).get("space")
    if space != "cosine":
        raise ConfigError(f"the distance of the collection {name!r} is {space!r}; a vector store needs 'cosine'")
    return made


def _check(filter: Filter, diversity: float | None) -> None:
    read(filter)
    checked_diversity(diversity)
    if filter is not None:
        where_for(filter)


def _written(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """What Chroma keeps of each chunk's metadata: what it can look for, and all of it in a field of ours."""
    now = time.time_ns()
    written = []
    for number, (chunk_id, chunk) in enumerate(rows):
        try:
            ours = json.dumps({"order": [now, number], "metadata": chunk.metadata}, allow_nan=False)
            fields = {key: value for key, value in chunk.metadata.items() if is_key(key) and is_kept(value)}
        except (TypeError, ValueError) as error:
            raise ValueError(f"the metadata of chunk {chunk_id!r} cannot be kept in Chroma: {error}") from error
        written.append({**fields, _OURS: ours})
    return written


def _chunk(text: str | None, fields: Mapping[str, Any] | None) -> tuple[list[int], Chunk]:
    """Its place in the order, and the chunk. Other programs' fields are the metadata of theirs."""
    ours = (fields or {}).get(_OURS)
    if ours is None:
        return [], Chunk(text or "", dict(fields or {}))
    kept = json.loads(ours)
    return kept["order"], Chunk(text or "", kept["metadata"])


def _asked(collection: Any, query: Floats, count: int, where: Where | None) -> list[Hit]:
    found = collection.query(query_embeddings=[query], n_results=count, where=where, include=_PARTS)
    return _hits(found["ids"][0], query, *(found[part][0] for part in _PARTS))


def _everything(collection: Any, query: Floats, where: Where | None) -> list[Hit]:
    found = collection.get(where=where, include=_PARTS)
    return _hits(found["ids"], query, *(found[part] for part in _PARTS))


def _hits(ids: Sequence[str], query: Floats, texts: Sequence[str], fields: Sequence[Any], vectors: Any) -> list[Hit]:
    if not ids:
        return []
    units = unit(vectors, len(query), of="Chroma")
    scores = np.clip(units @ query, -1, 1)
    hits = []
    for place, chunk_id in enumerate(ids):
        order, chunk = _chunk(texts[place], fields[place])
        hits.append(Hit(chunk_id, chunk, vector=units[place], score=float(scores[place]), order=order))
    return hits
