"""What is particular to Chroma."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loom.errors import ConfigError, MemoryStoreError
from memory.core.embedders import HashEmbedder
from memory.core.loaders.base import Chunk
from memory.core.vector_stores.chroma import ChromaVectorStore
from memory.core.vector_stores.chroma_where import where_for
from memory.core.vector_stores.filters import FilterError

chromadb = pytest.importorskip("chromadb", reason="the extra chroma is not installed")
EMBEDDER = HashEmbedder(16)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Any]:
    """A client of Chroma with a folder of its own."""
    made = chromadb.PersistentClient(str(tmp_path / "chroma"), chromadb.config.Settings(anonymized_telemetry=False))
    yield made
    made.close()


async def test_what_is_in_a_folder_is_there_for_the_next_program(tmp_path: Path) -> None:
    folder = str(tmp_path / "vectors")
    store = await ChromaVectorStore.from_texts(
        ["a red ball", "a blue car"], embedder=EMBEDDER, metadatas=[{"n": 1}, {"n": 2}], persist_directory=folder
    )
    assert await store.count() == 2
    store._client.close()

    again = ChromaVectorStore(EMBEDDER, persist_directory=folder)

    (found,) = await again.search("the blue car", k=1)
    assert found.chunk == Chunk("a blue car", {"n": 2})
    again._client.close()


async def test_stores_without_a_folder_see_nothing_of_each_other() -> None:
    one, other = ChromaVectorStore(EMBEDDER), ChromaVectorStore(EMBEDDER)

    await one.add([Chunk("a secret")])

    assert await other.count() == 0
    assert await other.search("a secret") == []


async def test_metadata_come_back_as_they_were(client: Any) -> None:
    metadata = {"none": None, "list": [1, "a"], "map": {"a": {"b": 1}}, "odd $key": 1, "#": 2, "": 3, "_loom": "mine"}
    store = ChromaVectorStore(EMBEDDER, client=client)

    await store.add([Chunk("text", metadata), Chunk("bare")], ["a", "b"])

    assert await store.get_by_ids(["b", "a"]) == [Chunk("bare"), Chunk("text", metadata)]
    for field in metadata:
        found = await store.search("text", filter={field: {"$exists": True}})
        assert [result.id for result in found] == ["a"]


async def test_of_a_chunk_that_was_replaced_no_field_is_left(client: Any) -> None:
    store = ChromaVectorStore(EMBEDDER, client=client)
    await store.add([Chunk("old", {"lang": "en", "page": 1})], ["a"])

    await store.add([Chunk("new", {"page": 2})], ["a"])

    assert await store.search("new", filter={"lang": "en"}) == []
    assert len(await store.search("new", filter={"lang": {"$ne": "en"}})) == 1
    assert set(client.get_collection("loom_vectors").get()["metadatas"][0]) == {"page", "_loom"}


async def test_more_than_chroma_takes_at_once_is_stored_in_parts(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "get_max_batch_size", lambda: 7)
    store = ChromaVectorStore(EMBEDDER, client=client)
    ids = [str(n) for n in range(20)]

    await store.add([Chunk(f"text {n}") for n in ids], ids)

    assert [chunk.content for chunk in await store.get_by_ids([*ids, "unknown"])] == [f"text {n}" for n in ids]
    await store.delete(ids[:15])
    assert await store.count() == 5


async def test_what_other_programs_stored_is_found(client: Any) -> None:
    store = ChromaVectorStore(EMBEDDER, client=client)
    await store.add([Chunk("ours", {"by": "us"})])
    vector = [3 * part for part in await EMBEDDER.embed("theirs")]
    client.get_collection("loom_vectors").add(
        ids=["x", "y"], embeddings=[vector, vector], documents=["theirs", None], metadatas=[{"by": "them"}, None]
    )

    found = await store.search("theirs", k=9, filter={"by": {"$ne": "us"}})

    assert sorted((result.id, result.chunk.content, result.chunk.metadata) for result in found) == [
        ("x", "theirs", {"by": "them"}),
        ("y", "", {}),
    ]
    assert [result.score for result in found] == pytest.approx([1, 1], abs=1e-5)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"when": object()}, r"the metadata of chunk 'a' cannot be kept in Chroma: .*not JSON serializable"),
        ({"n": 2**64}, "Chroma keeps whole numbers of 64 bits, not 18446744073709551616"),
        ({"n": float("nan")}, "not JSON compliant"),
    ],
)
async def test_metadata_that_chroma_would_change_are_refused(metadata: dict[str, Any], message: str) -> None:
    store = ChromaVectorStore(EMBEDDER)

    with pytest.raises(ValueError, match=message):
        await store.add([Chunk("text", metadata)], ["a"])
    assert await store.count() == 0


async def test_a_collection_that_measures_something_else_is_refused(client: Any) -> None:
    client.create_collection("loom_vectors", embedding_function=None)

    with pytest.raises(ConfigError, match=r"the distance of the collection 'loom_vectors' is 'l2'"):
        await ChromaVectorStore(EMBEDDER, client=client).count()


async def test_a_collection_of_another_dimension_is_named(client: Any) -> None:
    await ChromaVectorStore.from_texts(["a"], embedder=EMBEDDER, client=client)

    with pytest.raises(MemoryStoreError, match=r"collection 'loom_vectors': .*dimension of 16, got 8"):
        await ChromaVectorStore.from_texts(["b"], embedder=HashEmbedder(8), client=client)


@pytest.mark.parametrize("filter", [{"$not": {"a": 1}}, {"$or": [{"$and": [{"$not": {}}]}, {"a": 1}]}])
async def test_not_is_refused_wherever_it_stands_and_even_by_an_empty_store(filter: dict[str, Any]) -> None:
    store = ChromaVectorStore(EMBEDDER)

    with pytest.raises(FilterError, match=r"Chroma has no \$not; say it with \$ne or \$nin"):
        await store.search("text", filter=filter)
    with pytest.raises(FilterError):
        await store.search_by_vector([0.0] * 16, filter=filter)


@pytest.mark.parametrize(
    ("filter", "where"),
    [
        ({}, None),
        ({"a": 1}, {"a": {"$eq": 1}}),
        ({"a": ["x", "y"]}, {"a": {"$in": ["x", "y"]}}),
        (
            {"a": 1, "b": {"$gt": 2, "$lte": 3}},
            {"$and": [{"a": {"$eq": 1}}, {"$and": [{"b": {"$gt": 2}}, {"b": {"$lte": 3}}]}]},
        ),
        ({"$or": [{"a": 1}, {"b": "x"}]}, {"$or": [{"a": {"$eq": 1}}, {"b": {"$eq": "x"}}]}),
        ({"$or": [{"a": 1}, {"b": {"$exists": True}}]}, None),
        ({"a": 1, "b": {"$exists": True}}, {"a": {"$eq": 1}}),
        ({"a": {"$in": [1, "x"]}}, None),
        ({"a": {"$in": []}}, None),
        ({"a": {"$gt": "x"}}, None),
        ({"a": None}, None),
        ({"a": 2**53 + 1}, None),
        ({"_loom": "x"}, None),
    ],
)
def test_chroma_looks_for_what_means_the_same_to_it(filter: dict[str, Any], where: Any) -> None:
    assert where_for(filter) == where


def test_a_client_and_a_folder_are_one_too_many(client: Any) -> None:
    with pytest.raises(ValueError, match="client= or persist_directory=, not both"):
        ChromaVectorStore(EMBEDDER, client=client, persist_directory="x")


def test_an_asynchronous_client_is_refused() -> None:
    class Client:
        async def get_or_create_collection(self) -> None: ...

    with pytest.raises(ConfigError, match="not asynchronous"):
        ChromaVectorStore(EMBEDDER, client=Client())


def test_a_missing_chroma_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chromadb", None)

    with pytest.raises(ImportError, match=r"chromadb is not installed: pip install 'loom\[chroma\]'"):
        ChromaVectorStore(EMBEDDER)
