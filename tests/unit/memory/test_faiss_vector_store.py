"""What is particular to an index of FAISS."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest

pytest.importorskip("faiss", reason="the extra faiss is not installed")

from loom.errors import ConfigError
from memory.core.embedders import HashEmbedder
from memory.core.loaders.base import Chunk
from memory.core.vector_stores.faiss import FAISSVectorStore
from memory.core.vector_stores.in_memory import InMemoryVectorStore

EMBEDDER = HashEmbedder(8)
MANY = [Chunk(f"text {n}", {"n": n, "even": n % 2 == 0}) for n in range(2_000)]
IDS = [str(n) for n in range(2_000)]


def ids(found: list[Any]) -> list[str]:
    return [result.id for result in found]


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("factory", ["Flat", "HNSW32", "IVF8,Flat", "SQ8"])
async def test_whatever_the_index_the_score_is_the_cosine_and_every_filter_is_met(factory: str, metric: str) -> None:
    store = await FAISSVectorStore.from_chunks(
        MANY, embedder=EMBEDDER, ids=IDS, index_factory_string=factory, metric=metric
    )
    exact = await InMemoryVectorStore.from_chunks(MANY, embedder=EMBEDDER, ids=IDS)

    best, *_ = await store.search("text 77", k=3)
    rare = await store.search("text 77", k=5, filter={"n": {"$in": [3, 1_500, 1_999]}})

    assert (best.id, best.score) == ("77", pytest.approx(1, abs=1e-5))
    assert ids(rare) == ids(await exact.search("text 77", k=5, filter={"n": {"$in": [3, 1_500, 1_999]}}))


async def test_a_flat_index_finds_what_looking_at_each_finds() -> None:
    store = await FAISSVectorStore.from_chunks(MANY, embedder=EMBEDDER, ids=IDS, index_factory_string="Flat")
    exact = await InMemoryVectorStore.from_chunks(MANY, embedder=EMBEDDER, ids=IDS)

    for query in ("text 1", "text 600", "nothing of the kind"):
        for more in (
            {},
            {"filter": {"even": True}},
            {"diversity": 0.5},
            {"filter": {"n": {"$lt": 9}}, "diversity": 0.9},
        ):
            assert ids(await store.search(query, k=7, **more)) == ids(await exact.search(query, k=7, **more))


async def test_deleted_chunks_stay_away_also_when_the_index_is_built_anew() -> None:
    store = await FAISSVectorStore.from_chunks(MANY, embedder=EMBEDDER, ids=IDS)
    gone = random.Random(1).sample(IDS, 1_900)

    for start in range(0, len(gone), 100):
        await store.delete(gone[start : start + 100])
        assert not set(gone[: start + 100]) & set(ids(await store.search(f"text {gone[start]}", k=50)))

    left = set(IDS) - set(gone)
    assert await store.count() == 100
    assert set(ids(await store.search("text", k=999))) == left
    assert len(await store.get_by_ids(IDS)) == 100
    await store.add([Chunk("back")], [gone[0]])
    assert (await store.search("back", k=1))[0].id == gone[0]


async def test_too_few_chunks_to_train_an_index_with_are_refused() -> None:
    store = FAISSVectorStore(EMBEDDER, index_factory_string="IVF100,Flat")

    with pytest.raises(ValueError, match="1 chunks are too few to train an index 'IVF100,Flat'"):
        await store.add([Chunk("one")])
    assert await store.count() == 0


def test_what_faiss_cannot_make_is_refused() -> None:
    with pytest.raises(ConfigError, match="FAISS makes no index 'Banana' of 8 dimensions"):
        FAISSVectorStore(EMBEDDER, index_factory_string="Banana")
    with pytest.raises(ValueError, match="no metric 'cosine'; one of ip, l2"):
        FAISSVectorStore(EMBEDDER, metric="cosine")
    with pytest.raises(ValueError, match="dimension is 9; hash-embedder-8 makes vectors of 8"):
        FAISSVectorStore(EMBEDDER, dimension=9)
    with pytest.raises(ValueError, match="needs an embedder"):
        FAISSVectorStore(None)  # type: ignore[arg-type]


async def test_texts_and_metadatas_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="2 texts and 1 metadatas"):
        await FAISSVectorStore.from_texts(["a", "b"], embedder=EMBEDDER, metadatas=[{}])


def test_a_missing_faiss_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)

    with pytest.raises(ImportError, match=r"pip install 'loom\[faiss\]'"):
        FAISSVectorStore(EMBEDDER)
