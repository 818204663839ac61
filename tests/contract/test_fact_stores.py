"""What every store of facts promises."""

import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loom.context import IsolationWarning
from memory.core.backends import Options
from memory.core.backends.chroma.facts import ChromaFactStore
from memory.core.backends.postgres import build as postgres
from memory.core.backends.redis import build as redis
from memory.core.backends.sqlite.facts import SqliteFactStore
from memory.core.embedders import HashEmbedder
from memory.core.facts import InMemoryFactStore
from memory.core.protocol import BatchFactStore, Embedder, ErasableFactStore, FactStore
from memory.core.values import Fact
from tests.contract.durable import new_schema
from tests.contract.extras import NEEDS

Make = Callable[..., Any]
STORES: dict[str, Callable[[Path, Embedder | None], Any]] = {
    "inmemory": lambda path, embedder: InMemoryFactStore(embedder=embedder),
    "sqlite": lambda path, embedder: SqliteFactStore(path, embedder=embedder),
    "postgres": lambda path, embedder: postgres(Options(location=new_schema(), embedder=embedder)),
    "chroma": lambda path, embedder: ChromaFactStore.local(str(path), embedder=embedder),
    "redis": lambda path, embedder: redis(
        Options(location=os.environ["REDIS_URL"], key_prefix=f"{path}:", embedder=embedder)
    ),
}
START = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(params=[pytest.param(name, marks=NEEDS.get(name, ())) for name in STORES])
async def make(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Make]:
    numbers, opened = count(), []

    def make(embedder: Embedder | None = None) -> Any:
        opened.append(STORES[request.param](tmp_path / f"{next(numbers)}.db", embedder))
        return getattr(opened[-1], "facts", opened[-1])  # some lie in a memory

    yield make
    for each in opened:
        await each.aclose()


def fact(object_: str, *, user: str | None = "ann", year: int = 2020, **more: Any) -> Fact:
    return Fact(
        user_id=user,
        subject=more.pop("subject", "ann"),
        predicate=more.pop("predicate", "lives_in"),
        object=object_,
        valid_from=START.replace(year=year),
        **more,
    )


async def test_the_store_is_all_three_kinds_of_fact_store(make: Make) -> None:
    store = make()

    assert isinstance(store, FactStore)
    assert isinstance(store, ErasableFactStore)
    assert isinstance(store, BatchFactStore)


async def test_a_new_object_ends_the_open_fact_where_it_begins(make: Make) -> None:
    store = make()
    await store.append(fact("Rome", year=2020))
    await store.append(fact("Oslo", year=2022))

    facts = {each.object: each for each in await store.query(subject="ann", user_id="ann")}

    assert facts["Rome"].valid_until == START.replace(year=2022)
    assert facts["Oslo"].valid_until is None


async def test_the_same_object_again_leaves_the_fact_open(make: Make) -> None:
    store = make()
    await store.append(fact("Rome", year=2020))
    await store.append(fact("Rome", year=2022))

    assert [each.valid_until for each in await store.all_facts()] == [None, None]


async def test_appending_many_facts_ends_no_fact_of_another_user(make: Make) -> None:
    store = make()
    await store.append(fact("Rome", user="ann"))
    await store.append(fact("Rome", user=None))

    await store.append_many([fact("Oslo", user="ben", year=2021), fact("Bern", user="", year=2021)])

    assert [each.valid_until for each in await store.all_facts()] == [None] * 4


async def test_a_fact_that_arrives_late_ends_where_the_next_one_begins(make: Make) -> None:
    store = make()
    await store.append(fact("Tokyo", year=2024))
    await store.append(fact("Paris", year=2020))
    await store.append(fact("Lyon", year=2022))

    facts = {each.object: each for each in await store.all_facts()}
    now = await store.query(valid_at=START.replace(year=2025), user_id="ann")

    assert [each.object for each in now] == ["Tokyo"]
    assert facts["Lyon"].valid_until == START.replace(year=2024)
    assert facts["Tokyo"].valid_until is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(history=st.lists(st.tuples(st.integers(2000, 2040), st.sampled_from("abc")), max_size=12))
async def test_no_fact_ends_before_it_begins_in_whatever_order_facts_arrive(
    make: Make, history: list[tuple[int, str]]
) -> None:
    store = make()
    for year, object_ in history:
        await store.append(fact(object_, year=year))

    facts = await store.all_facts()

    assert len(facts) == len(history)
    assert all(each.valid_until is None or each.valid_until >= each.valid_from for each in facts)
    assert len({each.object for each in facts if each.valid_until is None}) <= 1


async def test_facts_that_fit_equally_well_are_recalled_in_the_same_order_every_time(make: Make) -> None:
    store = make()
    for number in range(20):
        await store.append(fact("tea", predicate="likes", subject="ann", id=f"fact_{number:02}", recorded_at=START))

    answers = [[each.id for each in await store.recall_text("ann likes tea", user_id="ann")] for _ in range(3)]

    assert answers == [[f"fact_{number:02}" for number in range(5)]] * 3


async def test_of_equal_facts_the_shorter_and_then_the_later_recorded_comes_first(make: Make) -> None:
    store = make()
    await store.append(fact("tea", predicate="a", id="old", recorded_at=START))
    await store.append(fact("tea", predicate="b", id="new", recorded_at=START + timedelta(days=1)))
    await store.append(fact("tea!!", predicate="c", id="long", recorded_at=START + timedelta(days=2)))

    assert [each.id for each in await store.recall_text("tea", user_id="ann")] == ["new", "old", "long"]


async def test_ended_facts_are_not_recalled_unless_asked_for_their_time(make: Make) -> None:
    store = make()
    await store.append(fact("Rome", year=2020))
    await store.append(fact("Oslo", year=2022))

    now = await store.recall_text("where does ann live: lives", user_id="ann")
    then = await store.recall_text("where does ann live: lives", user_id="ann", valid_at=datetime(2021, 1, 1))
    newest = await store.recall_text("", user_id="ann")
    everything = await store.query(user_id="ann")

    assert [each.object for each in now] == ["Oslo"]
    assert [each.object for each in then] == ["Rome"]
    assert [each.object for each in newest] == ["Oslo"]
    assert len(everything) == 2


async def test_query_reads_a_predicate_in_any_spelling_and_gives_the_last_recorded_first(make: Make) -> None:
    store = make()
    for day in (0, 2, 1):
        await store.append(fact(f"city {day}", recorded_at=START + timedelta(days=day)))

    found = await store.query(predicate="livesIn", limit=2, user_id="ann")

    assert [each.object for each in found] == ["city 2", "city 1"]


async def test_no_one_gets_the_facts_of_a_named_user_by_asking_as_nobody(make: Make) -> None:
    store = make()
    await store.append(fact("Rome"))

    with pytest.warns(IsolationWarning):
        assert await store.recall_text("Rome") == []
    assert await store.query() == []
    assert await store.query(user_id="") == []


async def test_an_embedder_ranks_by_nearness_and_is_asked_once_for_many_facts(make: Make) -> None:
    class Counting(HashEmbedder):
        batches = 0

        async def embed_batch(self, texts: list[str]) -> list[list[float]]:
            self.batches += 1
            return await super().embed_batch(texts)

    embedder = Counting(16)
    store = make(embedder=embedder)
    await store.append_many([fact(city, predicate=city) for city in ("Rome", "Oslo", "Bern")])

    found = await store.recall_text("ann oslo Oslo", user_id="ann", limit=1)

    assert embedder.batches == 1
    assert [each.object for each in found] == ["Oslo"]


async def test_nothing_is_stored_when_the_embedder_fails(make: Make) -> None:
    class Broken(HashEmbedder):
        async def embed_batch(self, texts: list[str]) -> list[list[float]]:
            raise ConnectionError

    store = make(embedder=Broken(4))

    with pytest.raises(ConnectionError):
        await store.append_many([fact("Rome"), fact("Oslo")])
    assert await store.all_facts() == []


async def test_the_same_fact_id_again_replaces_the_fact(make: Make) -> None:
    store = make()
    await store.append(fact("Rome", id="fact_1"))
    await store.append(fact("Oslo", id="fact_1"))

    assert [each.object for each in await store.all_facts()] == ["Oslo"]
    assert await store.recall_text("Rome", user_id="ann") == []


async def test_erasing_by_source_keeps_what_other_episodes_said_too(make: Make) -> None:
    store = make()
    await store.append(fact("Rome", sources=["ep_1"]))
    await store.append(fact("tea", predicate="likes", sources=["ep_1", "ep_2"]))
    await store.append(fact("blue", predicate="prefers"))
    await store.append(fact("Rome", user="ben", sources=["ep_1"]))

    assert await store.forget(user_id="ann", sources={"ep_1"}) == 1

    assert sorted((each.user_id, each.object, *each.sources) for each in await store.all_facts()) == [
        ("ann", "blue"),
        ("ann", "tea", "ep_2"),
        ("ben", "Rome", "ep_1"),
    ]
