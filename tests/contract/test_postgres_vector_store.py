"""What a vector store in PostgreSQL promises beyond what every store does: about filters, tables and what it keeps."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import anyio
import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from loom.errors import ConfigError, MemoryStoreError
from memory.core.embedders import HashEmbedder
from memory.core.loaders.base import Chunk
from memory.core.vector_stores.filters import FilterError, matches_filter
from memory.core.vector_stores.jsonb import condition
from memory.core.vector_stores.postgres import PostgresVectorStore
from tests.contract.databases import fresh_database
from tests.contract.durable import new_schema

Open = Callable[..., PostgresVectorStore]
INJECTIONS = ["x') = '1' OR 1=1 --", 'a"b', "a'b", "%s", "%(x)s", "{}", "\\", "?", "metadata"]

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
scalars = (
    st.sampled_from([None, True, False, 0, 1, 2, 9, 10, 1.0, 9.0, -0.0, 1.5, "", "9", "10", "a", "B", "ä", "true"])
    | texts
    | numbers
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=2), max_leaves=4
)
fields = st.sampled_from(["a", "b", *INJECTIONS])
metadata = st.dictionaries(fields, values, max_size=4)
wanted = values | st.sampled_from([float("inf"), float("-inf"), float("nan")])
operators = st.one_of(
    st.tuples(st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]), wanted),
    st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(wanted, max_size=3)),
    st.tuples(st.just("$exists"), st.booleans()),
)
asked = scalars | st.lists(scalars, max_size=3) | st.lists(operators, max_size=2).map(dict)
filters = st.recursive(
    st.dictionaries(fields, asked, max_size=2),
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from(["$and", "$or"]), st.lists(inner, max_size=3), min_size=1, max_size=1),
        st.fixed_dictionaries({"$not": inner}),
    ),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def database() -> Iterator[psycopg.Connection]:
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as connection:
        yield connection


@pytest.fixture
async def open_store() -> AsyncIterator[Open]:
    opened: list[PostgresVectorStore] = []

    def open_store(dsn: str | None = None, embedder: Any = None, **options: Any) -> PostgresVectorStore:
        opened.append(PostgresVectorStore(embedder or HashEmbedder(16), dsn=dsn or new_schema(), **options))
        return opened[-1]

    yield open_store
    for store in opened:
        await store.aclose()


# filters


@settings(max_examples=600)
@given(metadata=metadata, filter=filters)
@example({"a": 10}, {"a": {"$gt": 9}})
@example({"a": "10"}, {"a": {"$gt": 9}})
@example({"a": None}, {"a": {"$lte": None}})
@example({"a": [1]}, {"a": {"$eq": [True]}})
@example({"a": [1, 1]}, {"a": {"$eq": [1]}})
@example({"a": {"b": 1, "c": 2}}, {"$not": {"a": {"$in": [{"b": 1}]}}})
@example({"a": "B"}, {"a": {"$lt": "a"}})
@example({"a": 1}, {"a": {"$lt": float("inf"), "$ne": float("nan")}})
def test_a_filter_has_the_answers_that_it_has_everywhere(
    database: psycopg.Connection, metadata: dict[str, Any], filter: dict[str, Any]
) -> None:
    text, given_values = condition(filter)

    row = database.execute(
        f"SELECT {text} FROM (SELECT %(row)s::jsonb AS metadata) AS row",
        {**given_values, "row": json.dumps(metadata)},
    ).fetchone()

    assert row == (matches_filter(metadata, filter),)


@pytest.mark.parametrize("key", INJECTIONS)
async def test_a_field_may_have_any_name_and_is_never_read_as_sql(open_store: Open, key: str) -> None:
    store = open_store()
    await store.add([Chunk("mine", {key: 1}), Chunk("other", {"owner": "ben"})])

    found = await store.search("mine", filter={key: 1})
    greater = await store.search("mine", filter={key: {"$gt": 0, "$exists": True}})

    assert [result.chunk.content for result in found] == [result.chunk.content for result in greater] == ["mine"]


async def test_numbers_compare_as_numbers(open_store: Open) -> None:
    store = open_store()
    await store.add([Chunk(str(page), {"page": page}) for page in (2, 9, 10, 100)])

    found = await store.search("page", k=9, filter={"page": {"$gt": 9}})

    assert sorted(result.chunk.content for result in found) == ["10", "100"]


@pytest.mark.parametrize(
    ("filter", "message"),
    [
        ({"at": datetime(2026, 1, 1, tzinfo=UTC)}, "'at' cannot be compared with datetime"),
        ({"at": {"$lt": datetime(2026, 1, 1, tzinfo=UTC)}}, "'at' cannot be compared with datetime"),
        ({"who": "a\0"}, "'who' holds a NUL character"),
    ],
)
async def test_a_filter_for_what_json_cannot_hold_is_refused(open_store: Open, filter: Any, message: str) -> None:
    with pytest.raises(FilterError, match=message):
        await open_store().search("x", filter=filter)


# tables


async def test_a_table_is_made_in_a_fresh_database_by_the_first_chunk(open_store: Open) -> None:
    with fresh_database() as dsn:
        store = open_store(dsn, table="lessons")

        assert (await store.count(), await store.search("tea"), await store.get_by_ids(["a"])) == (0, [], [])
        await store.delete(["a"])
        with psycopg.connect(dsn) as connection:
            assert connection.execute("SELECT to_regclass('lessons')").fetchone() == (None,)

        await store.add([Chunk("green tea")], ["a"])
        assert [result.id for result in await store.search("tea")] == ["a"]
        await store.aclose()


async def test_several_stores_make_one_table_at_once(open_store: Open) -> None:
    with fresh_database() as dsn:
        stores = [open_store(dsn) for _ in range(4)]
        async with anyio.create_task_group() as tasks:
            for number, store in enumerate(stores):
                tasks.start_soon(store.add, [Chunk("tea"), Chunk("mate")], [f"tea {number}", "shared"])

        assert await stores[0].count() == 5
        for store in stores:
            await store.aclose()


async def test_tables_of_one_database_know_nothing_of_one_another(open_store: Open) -> None:
    dsn = new_schema()
    one, other = open_store(dsn, table="One"), open_store(dsn, table="other")
    await one.add([Chunk("tea")])
    await other.add([Chunk("mate"), Chunk("coffee")])

    assert (await one.count(), await other.count()) == (1, 2)


@pytest.mark.parametrize("table", ["", "a b", 'a"b', "a;b", "1a", "a.b.c", "x" * 51, "ä"])
def test_what_is_no_name_of_a_table_is_refused(table: str) -> None:
    with pytest.raises(ConfigError, match="is no name of a table"):
        PostgresVectorStore(HashEmbedder(4), dsn="postgresql://db/app", table=table)


async def test_a_table_of_vectors_of_another_size_is_refused(open_store: Open) -> None:
    dsn = new_schema()
    await open_store(dsn, HashEmbedder(16)).add([Chunk("tea")])

    with pytest.raises(ValueError, match="loom_vectors keeps vectors of 16 dimensions; this store has 8"):
        await open_store(dsn, HashEmbedder(8)).add([Chunk("tea")])


async def test_a_size_that_the_embedder_does_not_make_is_refused(open_store: Open) -> None:
    with pytest.raises(ValueError, match="hash-embedder-16 makes vectors of 16 dimensions, not of 8"):
        open_store(dimension=8)
    store = open_store(dimension=16)
    with pytest.raises(ValueError, match="not of 8"):
        await store.init_schema(8)
    await store.init_schema(16)

    assert await store.count() == 0


async def test_a_table_in_a_named_schema_is_used(open_store: Open) -> None:
    dsn = new_schema()
    schema = str(conninfo_to_dict(dsn)["options"]).rpartition("=")[2]
    store = open_store(os.environ["DATABASE_OWNER_URL"], table=f"{schema}.lessons")
    await store.add([Chunk("tea")], ["a"])

    assert await open_store(dsn, table="lessons").get_by_ids(["a"]) == [Chunk("tea")]


async def test_a_server_that_is_away_is_named_without_its_password(open_store: Open) -> None:
    store = open_store(make_conninfo(os.environ["DATABASE_OWNER_URL"], password="wrong-secret"))

    with pytest.raises(MemoryStoreError, match="password authentication failed") as failed:
        await store.count()
    assert "wrong-secret" not in str(failed.value)


def test_one_event_loop_after_another_uses_a_store() -> None:
    store = PostgresVectorStore(HashEmbedder(4), dsn=new_schema())

    async def add() -> int:
        await store.add([Chunk("tea")])
        count = await store.count()
        await store.aclose()
        return count

    assert [asyncio.run(add()), asyncio.run(add())] == [1, 2]


# what is kept


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (Chunk("a\0b"), "chunk 'a' holds a NUL"),
        (Chunk("a", {"deep": [{"x": "\0"}]}), "chunk 'a' holds a NUL"),
        (Chunk("a", {"at": datetime(2026, 1, 1, tzinfo=UTC)}), "chunk 'a' cannot be kept as JSON"),
        (Chunk("a", {"x": float("nan")}), "chunk 'a' cannot be kept as JSON"),
        (Chunk("a", {1: "x"}), "has the key 1: keys are texts"),
    ],
)
async def test_what_postgresql_cannot_keep_is_refused_and_nothing_is_stored(
    open_store: Open, chunk: Chunk, message: str
) -> None:
    store = open_store()

    with pytest.raises(ValueError, match=message):
        await store.add([Chunk("fine"), chunk], ["fine", "a"])
    assert await store.count() == 0


async def test_what_looks_like_a_nul_character_and_is_none_is_kept(open_store: Open) -> None:
    store, chunk = open_store(), Chunk("\\u0000", {"text": "\\u0000 漢字 %s {}"})
    await store.add([chunk], ["a"])

    assert await store.get_by_ids(["a"]) == [chunk]


# many chunks


async def test_vectors_are_indexed_when_there_are_many(open_store: Open) -> None:
    dsn = new_schema()
    store = open_store(dsn, HashEmbedder(4))
    with psycopg.connect(dsn, autocommit=True) as connection:
        await store.add([Chunk(f"text {n}") for n in range(1_000)])
        assert connection.execute("SELECT to_regclass('loom_vectors_vectors')").fetchone() == (None,)

        await open_store(dsn, HashEmbedder(4)).add([Chunk("one more")])
        assert connection.execute("SELECT to_regclass('loom_vectors_vectors')").fetchone() != (None,)

    assert [result.chunk.content for result in await store.search("one more", k=1)] == ["one more"]


@pytest.mark.parametrize("tuples", [20_000, 1], ids=["the index goes on", "the index gives up"])
async def test_as_many_are_found_as_asked_for_beside_nearer_chunks_that_do_not_fit(
    open_store: Open, tuples: int
) -> None:
    dsn = new_schema()
    options = conninfo_to_dict(dsn)["options"]
    # So few rows would be sorted; as many as there are in production are not.
    dsn = make_conninfo(dsn, options=f"{options} -c enable_sort=off -c hnsw.max_scan_tuples={tuples}")
    store = open_store(dsn, HashEmbedder(4))
    await store.init_schema(4)
    with psycopg.connect(make_conninfo(dsn, options=f"{options},public"), autocommit=True) as connection:
        connection.execute(
            """
            INSERT INTO loom_vectors SELECT owner || number, number, 'x', jsonb_build_object('owner', owner),
                concat('[', part, ',1,', random(), ',0]')::vector
            FROM generate_series(1, 1200) AS number, (VALUES ('ann', 0), ('ben', 50)) AS owned (owner, part)
            """
        )
        connection.execute("INSERT INTO loom_vectors VALUES ('nowhere', 0, 'x', '{\"owner\": \"ann\"}', NULL)")

    found = await store.search_by_vector([1.0, 0.0, 0.0, 0.0], k=30, filter={"owner": "ann"})
    backwards = await store.search_by_vector([0.0, -1.0, 0.0, 0.0], k=2, filter={"owner": {"$ne": "ben"}})

    assert len(found) == 30
    assert {result.chunk.metadata["owner"] for result in found} == {"ann"}
    assert found == sorted(found, key=lambda result: -result.score)
    assert "nowhere" in {result.id for result in backwards}


@pytest.mark.parametrize("dimensions", [2_000, 3_072, 4_096])
async def test_vectors_of_great_embedders_are_kept_and_found(open_store: Open, dimensions: int) -> None:
    store = open_store(embedder=HashEmbedder(dimensions))
    await store.add([Chunk("green tea"), Chunk("black coffee")])

    assert [result.chunk.content for result in await store.search("green tea", k=1)] == ["green tea"]
