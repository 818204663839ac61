from __future__ import annotations

import json
from pathlib import Path

import pytest

from memory.core.embedders import HashEmbedder
from memory.core.loaders.base import Chunk
from memory.core.vector_stores.in_memory import InMemoryVectorStore

TEXTS = ["The invoice of the bakery is overdue.", "The engine of the ferry is repaired.", "Tax forms are due in May."]


class Deaf(HashEmbedder):
    """All texts are the same to it: only words can tell them apart."""

    async def embed(self, text: str) -> list[float]:
        return [1.0] + [0.0] * (self.dimensions - 1)


async def test_a_store_is_filled_from_texts_or_chunks() -> None:
    from_texts = await InMemoryVectorStore.from_texts(
        TEXTS, embedder=HashEmbedder(), metadatas=[{"n": n} for n in range(3)], ids=["a", "b", "c"]
    )
    from_chunks = await InMemoryVectorStore.from_chunks([Chunk("x")], embedder=HashEmbedder())

    assert await from_texts.get_by_ids(["c"]) == [Chunk(TEXTS[2], {"n": 2})]
    assert await from_chunks.count() == 1
    assert (from_texts.name, from_texts.embedder.name) == ("in-memory", "hash-embedder-384")


async def test_metadatas_must_be_as_many_as_texts() -> None:
    with pytest.raises(ValueError, match="3 texts and 1 metadatas"):
        await InMemoryVectorStore.from_texts(TEXTS, embedder=HashEmbedder(), metadatas=[{}])


def test_a_store_without_an_embedder_is_refused() -> None:
    with pytest.raises(ValueError, match="needs an embedder"):
        InMemoryVectorStore(None)  # type: ignore[arg-type]


async def test_without_a_model_texts_are_found_by_the_words_they_share() -> None:
    store = await InMemoryVectorStore.from_texts(TEXTS, embedder=HashEmbedder())

    found = await store.search("is the bakery's invoice paid?", k=3)

    assert found[0].chunk.content == TEXTS[0]
    assert found[0].score > 0.4 > 0.2 > found[1].score


async def test_hybrid_search_counts_words_only_at_one_end_and_vectors_only_at_the_other() -> None:
    store = await InMemoryVectorStore.from_texts(TEXTS, embedder=Deaf(), ids=["bakery", "ferry", "tax"])

    words = await store.search_hybrid("ferry engine", k=3, alpha=0)
    both = await store.search_hybrid("ferry engine", k=3)
    vectors = await store.search_hybrid("ferry engine", k=3, alpha=1)

    assert [result.id for result in words] == ["ferry"]
    assert [result.id for result in both] == ["ferry", "bakery", "tax"]
    assert [result.id for result in vectors] == ["bakery", "ferry", "tax"]
    assert words[0].score == vectors[0].score == pytest.approx(1 / 61)


async def test_hybrid_search_keeps_to_its_filter_and_its_share() -> None:
    store = await InMemoryVectorStore.from_texts(TEXTS, embedder=Deaf(), metadatas=[{"n": n} for n in range(3)])

    found = await store.search_hybrid("ferry engine", filter={"n": {"$ne": 1}})

    assert [result.chunk.metadata["n"] for result in found] == [0, 2]
    assert await store.search_hybrid("ferry", k=0) == []
    with pytest.raises(ValueError, match="alpha is between 0"):
        await store.search_hybrid("ferry", alpha=2)


async def test_words_are_searched_as_they_are_now_after_a_change() -> None:
    store = await InMemoryVectorStore.from_texts(TEXTS, embedder=Deaf(), ids=["a", "b", "c"])
    await store.search_hybrid("ferry", alpha=0)

    await store.add([Chunk("No boats here.")], ["b"])
    await store.add([Chunk("A new ferry.")], ["d"])

    assert [result.id for result in await store.search_hybrid("ferry", alpha=0)] == ["d"]


async def test_a_saved_store_comes_back_as_it_was(tmp_path: Path) -> None:
    store = await InMemoryVectorStore.from_texts(TEXTS, embedder=HashEmbedder(), metadatas=[{"n": n} for n in range(3)])
    await store.save(tmp_path / "new" / "store.json")

    loaded = await InMemoryVectorStore.load(tmp_path / "new" / "store.json", embedder=HashEmbedder())

    one, other = await store.search(TEXTS[1], k=3), await loaded.search(TEXTS[1], k=3)
    assert [(result.id, result.chunk) for result in one] == [(result.id, result.chunk) for result in other]
    assert [result.score for result in one] == pytest.approx([result.score for result in other], abs=1e-6)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["store.json"]


async def test_a_file_of_another_version_or_size_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "store.json"
    await InMemoryVectorStore(HashEmbedder(8)).save(file)

    with pytest.raises(ValueError, match="holds vectors of 8 dimensions; the embedder makes 16"):
        await InMemoryVectorStore.load(file, embedder=HashEmbedder(16))
    file.write_text(json.dumps({"version": 2}))
    with pytest.raises(ValueError, match="version 2; this Loom reads version 1"):
        await InMemoryVectorStore.load(file, embedder=HashEmbedder(8))


async def test_metadata_that_is_no_json_is_named_and_the_old_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "store.json"
    store = InMemoryVectorStore(HashEmbedder(8))
    await store.save(file)
    await store.add([Chunk("x", {"tags": {1}})], ["a"])

    with pytest.raises(ValueError, match="metadata of chunk 'a' cannot be saved"):
        await store.save(file)

    assert json.loads(file.read_text())["rows"] == []
