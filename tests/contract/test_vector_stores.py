"""What every vector store promises, asked of every one that is listed. A new one joins by a line in `MAKERS`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memory.core.embedders import HashEmbedder
from memory.core.loaders.base import Chunk
from memory.core.protocol import Embedder
from memory.core.vector_stores import STORES
from memory.core.vector_stores.base import SearchResult, VectorStore
from memory.core.vector_stores.filters import FilterError, matches_filter
from memory.core.vector_stores.in_memory import InMemoryVectorStore
from memory.core.vector_stores.postgres import PostgresVectorStore
from tests.contract.durable import new_schema

Maker = Callable[[Embedder], Awaitable[VectorStore]]


async def _in_memory(embedder: Embedder) -> VectorStore:
    return InMemoryVectorStore(embedder)


async def _chroma(embedder: Embedder) -> VectorStore:
    pytest.importorskip("chromadb", reason="the extra chroma is not installed")
    from memory.core.vector_stores.chroma import ChromaVectorStore

    return ChromaVectorStore(embedder)


async def _faiss(embedder: Embedder) -> VectorStore:
    pytest.importorskip("faiss", reason="the extra faiss is not installed")
    from memory.core.vector_stores.faiss import FAISSVectorStore

    return FAISSVectorStore(embedder)


async def _postgres(embedder: Embedder) -> VectorStore:
    return PostgresVectorStore(embedder, dsn=new_schema())


MAKERS: dict[str, Maker] = {"chroma": _chroma, "faiss": _faiss, "inmemory": _in_memory, "postgres": _postgres}
WITHOUT_NOT = {"chroma"}
COMPASS = {
    "north": [1.0, 0.0],
    "north-east": [0.7, 0.7],
    "east": [0.0, 1.0],
    "south": [-1.0, 0.0],
    "nowhere": [0.0, 0.0],
}


class Compass:
    """Two dimensions that can be seen on paper."""

    name, dimensions = "compass", 2

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    async def embed(self, text: str) -> list[float]:
        return (await self.embed_batch([text]))[0]

    async def embed_batch(self, texts: list[str]) -> list[list[float]]:
        self.calls.append(list(texts))
        return [COMPASS[text] for text in texts]


@pytest.fixture(params=sorted(MAKERS))
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Maker]:
    opened: list[VectorStore] = []

    async def make(embedder: Embedder) -> VectorStore:
        opened.append(await MAKERS[request.param](embedder))
        return opened[-1]

    yield make
    for store in opened:
        if (close := getattr(store, "aclose", None)) is not None:
            await close()


@pytest.fixture
async def store(make: Maker) -> VectorStore:
    return await make(Compass())


async def filled(make: Maker, *metadata: dict[str, Any]) -> VectorStore:
    store = await make(HashEmbedder(16))
    await store.add(
        [Chunk(f"text {n}", each) for n, each in enumerate(metadata)], [str(n) for n in range(len(metadata))]
    )
    return store


def contents(found: list[SearchResult]) -> list[str]:
    return [result.chunk.content for result in found]


def test_every_store_that_exists_is_in_this_suite() -> None:
    assert set(STORES) == set(MAKERS)


async def test_a_store_satisfies_the_protocol(store: VectorStore) -> None:
    assert isinstance(store, VectorStore)


# keeping


async def test_chunks_get_ids_of_their_own_and_are_found_by_them(store: VectorStore) -> None:
    one, other = await store.add([Chunk("north", {"page": 1}), Chunk("east")])

    assert one != other
    assert await store.get_by_ids([other, "unknown", one]) == [Chunk("east"), Chunk("north", {"page": 1})]
    assert await store.count() == 2


async def test_all_chunks_are_embedded_in_one_call(make: Maker) -> None:
    compass = Compass()
    store = await make(compass)

    await store.add([Chunk("north"), Chunk("east")])

    assert compass.calls == [["north", "east"]]


async def test_adding_nothing_asks_nobody(make: Maker) -> None:
    compass = Compass()
    store = await make(compass)

    assert await store.add([]) == []
    assert await store.search("north") == []
    assert compass.calls == []


async def test_an_id_that_is_there_already_gets_the_new_chunk(store: VectorStore) -> None:
    await store.add([Chunk("north"), Chunk("south")], ["a", "b"])

    assert await store.add([Chunk("east")], ["a"]) == ["a"]

    assert await store.count() == 2
    assert await store.get_by_ids(["a"]) == [Chunk("east")]
    assert contents(await store.search("north")) == ["east", "south"]


async def test_of_an_id_given_twice_the_last_chunk_stays(store: VectorStore) -> None:
    await store.add([Chunk("north"), Chunk("east")], ["a", "a"])

    assert await store.count() == 1
    assert await store.get_by_ids(["a"]) == [Chunk("east")]


async def test_ids_must_be_as_many_as_chunks(store: VectorStore) -> None:
    with pytest.raises(ValueError, match="2 chunks and 1 ids"):
        await store.add([Chunk("north"), Chunk("east")], ["a"])

    assert await store.count() == 0


async def test_deleted_chunks_are_not_found_and_unknown_ids_do_no_harm(store: VectorStore) -> None:
    await store.add([Chunk("north"), Chunk("east")], ["a", "b"])

    await store.delete(["a", "unknown"])

    assert await store.count() == 1
    assert await store.get_by_ids(["a"]) == []
    assert contents(await store.search("north")) == ["east"]


async def test_what_happens_to_metadata_outside_does_not_reach_the_store(store: VectorStore) -> None:
    metadata = {"owner": "ann"}
    await store.add([Chunk("north", metadata)])

    metadata["owner"] = "ben"

    assert await store.search("north", filter={"owner": "ben"}) == []


async def test_nothing_is_stored_when_the_embedder_fails(make: Maker) -> None:
    store = await make(Compass())

    with pytest.raises(KeyError):
        await store.add([Chunk("north"), Chunk("off the map")])

    assert await store.count() == 0


async def test_vectors_of_another_size_are_refused(make: Maker) -> None:
    class Liar(Compass):
        dimensions = 3

    store = await make(Liar())

    with pytest.raises(ValueError, match="compass has 2 dimensions; this store keeps 3"):
        await store.add([Chunk("north")])
    await store.add([])
    with pytest.raises(ValueError, match="2 dimensions"):
        await store.search_by_vector([1.0, 0.0])


async def test_a_vector_that_is_not_a_number_is_refused(store: VectorStore) -> None:
    await store.add([Chunk("north")])

    with pytest.raises(ValueError, match="not finite"):
        await store.search_by_vector([float("nan"), 0.0])


# searching


async def test_the_nearest_comes_first_and_its_score_is_the_cosine(store: VectorStore) -> None:
    await store.add([Chunk("south"), Chunk("east"), Chunk("north"), Chunk("north-east"), Chunk("nowhere")])

    found = await store.search("north", k=5)

    assert contents(found) == ["north", "north-east", "east", "nowhere", "south"]
    assert [result.score for result in found] == pytest.approx([1, 0.5**0.5, 0, 0, -1], abs=1e-6)


async def test_the_length_of_a_vector_does_not_matter(store: VectorStore) -> None:
    await store.add([Chunk("north-east"), Chunk("north")])

    (found,) = await store.search_by_vector([0.001, 0.0], k=1)

    assert (found.chunk.content, found.score) == ("north", pytest.approx(1))


async def test_equally_near_chunks_come_in_the_order_in_which_they_were_added(store: VectorStore) -> None:
    await store.add([Chunk("north")] * 30, [f"{n:02}" for n in range(30)])

    assert [result.id for result in await store.search("north", k=3)] == ["00", "01", "02"]


async def test_no_more_than_k_are_found(store: VectorStore) -> None:
    await store.add([Chunk("north"), Chunk("east")] * 5)

    assert len(await store.search("north")) == 4
    assert len(await store.search("north", k=99)) == 10
    assert await store.search("north", k=0) == []


async def test_a_filter_is_applied_before_the_nearest_are_chosen(store: VectorStore) -> None:
    await store.add([Chunk("north", {"owner": "ann"})] * 50)
    await store.add([Chunk("south", {"owner": "ben"})])

    assert contents(await store.search("north", k=1, filter={"owner": "ben"})) == ["south"]


async def test_a_great_store_is_searched_like_a_small_one(make: Maker) -> None:
    store = await make(HashEmbedder(8))
    await store.add([Chunk(f"text {n}", {"n": n}) for n in range(3_000)])

    (found,) = await store.search("text 1234", k=1)
    (other,) = await store.search("text 1234", k=1, filter={"n": {"$gt": 2_998}})

    assert (found.chunk.content, found.score) == ("text 1234", pytest.approx(1, abs=1e-5))
    assert other.chunk.content == "text 2999"


async def test_diversity_prefers_what_differs_from_what_was_chosen(store: VectorStore) -> None:
    await store.add([Chunk("north"), Chunk("north"), Chunk("north-east"), Chunk("east")])

    plain = await store.search("north", k=2)
    varied = await store.search("north", k=2, diversity=0.9)

    assert contents(plain) == ["north", "north"]
    assert contents(varied) == ["north", "east"]
    assert [result.score for result in varied] == pytest.approx([1, 0], abs=1e-6)


@pytest.mark.parametrize("diversity", [-0.1, 1.1])
async def test_diversity_is_a_share(store: VectorStore, diversity: float) -> None:
    with pytest.raises(ValueError, match="diversity is between 0 and 1"):
        await store.search("north", diversity=diversity)


@pytest.mark.parametrize(
    ("filter", "ids"),
    [
        ({}, "012"),
        ({"lang": "en"}, "0"),
        ({"lang": ["en", "de"]}, "01"),
        ({"lang": {"$eq": "de"}}, "1"),
        ({"lang": {"$ne": "de"}}, "02"),
        ({"lang": {"$in": ["de"]}}, "1"),
        ({"lang": {"$nin": ["de"]}}, "02"),
        ({"lang": {"$exists": True}}, "01"),
        ({"lang": {"$exists": False}}, "2"),
        ({"page": {"$gt": 9}}, "1"),
        ({"page": {"$gte": 9, "$lt": 10}}, "0"),
        ({"page": {"$lte": 10}}, "01"),
        ({"page": {"$gt": "1"}}, "2"),
        ({"page": 9.0}, "0"),
        ({"page": True}, ""),
        ({"lang": "en", "page": 10}, ""),
        ({"$or": [{"lang": "en"}, {"page": 10}]}, "01"),
        ({"$and": [{"lang": "de"}, {"page": 10}]}, "1"),
        ({"$not": {"lang": "en"}}, "12"),
        ({"lang": None}, ""),
        ({"lang": {}}, "012"),
        ({"page": {"$gt": None}}, ""),
        ({"page": {"$gte": 9, "$exists": True}}, "01"),
        ({"lang": {"$in": []}}, ""),
        ({"$or": []}, ""),
        ({"$and": []}, "012"),
    ],
)
async def test_a_filter_reads_metadata(make: Maker, filter: dict[str, Any], ids: str) -> None:
    store = await filled(make, {"lang": "en", "page": 9}, {"lang": "de", "page": 10}, {"page": "9"})

    if "$not" in filter and store.name in WITHOUT_NOT:
        with pytest.raises(FilterError, match="has no \\$not"):
            await store.search("text", k=9, filter=filter)
        return
    found = await store.search("text", k=9, filter=filter)

    assert sorted(result.id for result in found) == list(ids)


VALUES = st.sampled_from(["", "9", "en", True, False, 0, 1, 9, 2**53 + 1, -1.5, 9.0, 1e300, None])
FIELDS = st.sampled_from(["lang", "page", "dotted.name", "$odd"])
METADATA = st.dictionaries(FIELDS, VALUES | st.lists(VALUES, max_size=2), max_size=3)
OPERATORS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("$eq", "$ne", "$gt", "$gte", "$lt", "$lte"), VALUES),
        **{name: st.lists(VALUES, max_size=3) for name in ("$in", "$nin")},
        "$exists": st.booleans(),
    },
)
ABOUT_FIELDS = st.dictionaries(
    FIELDS.filter(lambda name: not name.startswith("$")), VALUES | st.lists(VALUES, max_size=2) | OPERATORS, max_size=2
)
FILTERS = st.recursive(
    ABOUT_FIELDS,
    lambda inner: (
        st.dictionaries(st.sampled_from(["$and", "$or"]), st.lists(inner, max_size=2), min_size=1)
        | st.fixed_dictionaries({"$not": inner})
    ),
    max_leaves=4,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(metadatas=st.lists(METADATA, max_size=4), filters=st.lists(FILTERS, min_size=1, max_size=4))
async def test_whatever_is_asked_of_whatever_metadata_the_answer_is_that_of_matches_filter(
    make: Maker, metadatas: list[dict[str, Any]], filters: list[dict[str, Any]]
) -> None:
    store = await filled(make, *metadatas)

    for filter in filters:
        if "$not" in str(filter) and store.name in WITHOUT_NOT:
            continue
        found = await store.search("text", k=9, filter=filter)
        wanted = [str(n) for n, each in enumerate(metadatas) if matches_filter(each, filter)]
        assert sorted(result.id for result in found) == wanted


@pytest.mark.parametrize(
    ("filter", "message"),
    [
        ({"page": {"$near": 9}}, "no operator '\\$near' for the field 'page'"),
        ({"$nor": [{"page": 9}]}, "no operator '\\$nor'"),
        ({"page": {"$in": 9}}, "\\$in wants a list, not 9"),
        ({"$or": {"page": 9}}, "\\$or wants a list"),
        ({"$and": ["page"]}, "a filter is a mapping, not 'page'"),
        ("page", "a filter is a mapping, not 'page'"),
    ],
)
async def test_a_filter_that_cannot_be_read_is_refused_even_by_an_empty_store(
    store: VectorStore, filter: Any, message: str
) -> None:
    with pytest.raises(FilterError, match=message):
        await store.search("north", filter=filter)
    with pytest.raises(ValueError, match=message):
        await store.search_by_vector([1.0, 0.0], filter=filter)
