"""What every memory promises, asked of every backend. A new one joins by a line in `MAKERS`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from loom.context import IsolationWarning
from loom.errors import ConfigError
from loom.messages import Role
from memory.core.backends import BACKENDS
from memory.core.backends.chroma.memory import ChromaMemory
from memory.core.backends.chroma.place import Chroma
from memory.core.backends.in_memory import InMemoryMemory
from memory.core.backends.postgres.memory import PostgresMemory
from memory.core.backends.redis.memory import RedisMemory
from memory.core.backends.sqlite.memory import SqliteMemory
from memory.core.backends.vector import VectorMemory
from memory.core.embedders import HashEmbedder
from memory.core.facts import InMemoryFactStore
from memory.core.lazy import LazyMemory
from memory.core.protocol import Embedder, FactStore, Memory
from memory.core.resolver import resolve_memory
from memory.core.values import Episode, Fact
from tests.contract.durable import new_schema
from tests.contract.extras import NEEDS

Maker = Callable[[Path, FactStore], Memory]


def postgres(facts: FactStore, embedder: Embedder | None = None) -> Memory:
    async def connect() -> PostgresMemory:
        dsn = new_schema()
        memory = await PostgresMemory.connect(dsn, embedder=embedder, max_size=2)
        await memory.init_schema()
        memory.facts = facts
        return memory

    return LazyMemory(connect, with_facts=True)


def redis(folder: Path, facts: FactStore, embedder: Embedder | None = None) -> Memory:
    async def connect() -> RedisMemory:
        memory = await RedisMemory.connect(os.environ["REDIS_URL"], embedder=embedder, key_prefix=f"{folder}:")
        memory.facts = facts
        return memory

    return LazyMemory(connect, with_facts=True)


MAKERS: dict[str, Maker] = {
    "inmemory": lambda folder, facts: InMemoryMemory(fact_store=facts),
    "sqlite": lambda folder, facts: SqliteMemory(folder / "memory.db", fact_store=facts),
    "postgres": lambda folder, facts: postgres(facts),
    "chroma": lambda folder, facts: ChromaMemory(Chroma.local(str(folder)), fact_store=facts),
    "redis": redis,
}
FURTHER: dict[str, Maker] = {
    "vectors": lambda folder, facts: VectorMemory(embedder=HashEmbedder(512), fact_store=facts),
    "sqlite with its facts": lambda folder, facts: SqliteMemory(folder / "memory.db"),
    "sqlite with vectors": lambda folder, facts: SqliteMemory(
        folder / "memory.db", embedder=HashEmbedder(512), fact_store=facts
    ),
    "postgres with its facts": lambda folder, facts: resolve_memory({"backend": "postgres", "dsn": new_schema()}),
    "postgres with vectors": lambda folder, facts: postgres(facts, HashEmbedder(512)),
    "chroma with its facts": lambda folder, facts: ChromaMemory.local(str(folder), with_facts=True),
    "chroma with vectors": lambda folder, facts: ChromaMemory(
        Chroma.ephemeral(), embedder=HashEmbedder(512), fact_store=facts
    ),
    "redis with its facts": lambda folder, facts: resolve_memory(
        {"backend": "redis", "url": os.environ["REDIS_URL"], "key_prefix": f"{folder}:"}
    ),
    "redis with vectors": lambda folder, facts: redis(folder, facts, HashEmbedder(512)),
}
ALL = [pytest.param(name, id=name, marks=NEEDS.get(name, ())) for name in (*MAKERS, *FURTHER)]
DAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(params=ALL)
async def memory(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Memory]:
    async with opened((MAKERS | FURTHER)[request.param], tmp_path, InMemoryFactStore()) as memory:
        yield memory


@asynccontextmanager
async def opened(make: Maker, folder: Path, facts: FactStore) -> AsyncIterator[Memory]:
    memory = make(folder, facts)
    try:
        yield memory
    finally:
        if (close := getattr(memory, "aclose", None)) is not None:
            await close()


def episode(text: str, *, user: str | None = "ann", session: str = "s1", day: int = 0, **more: Any) -> Episode:
    return Episode(
        session_id=session,
        user_id=user,
        input=text,
        output=f"noted {text}",
        occurred_at=DAY + timedelta(days=day),
        **more,
    )


def fact(object_: str, *, user: str | None = "ann", predicate: str = "lives_in", **more: Any) -> Fact:
    return Fact(user_id=user, subject="ann", predicate=predicate, object=object_, **more)


def test_every_backend_that_exists_is_in_this_suite() -> None:
    there = {name for name, path in BACKENDS.items() if find_spec(path.partition(":")[0]) is not None}

    assert there == set(MAKERS)


async def test_a_memory_satisfies_the_protocol(memory: Memory) -> None:
    assert isinstance(memory, Memory)


# blocks


async def test_a_block_is_replaced_appended_to_and_made_when_absent(memory: Memory) -> None:
    await memory.update_block("profile", "likes tea", user_id="ann")
    await memory.update_block("profile", "likes mate", user_id="ann")
    await memory.append_block("profile", ", hates fog", user_id="ann")
    await memory.append_block("goals", "sleep", user_id="ann")

    blocks = await memory.working(user_id="ann")

    assert [(block.name, block.content) for block in blocks] == [
        ("profile", "likes mate, hates fog"),
        ("goals", "sleep"),
    ]


async def test_blocks_of_one_user_are_not_shown_to_another_nor_to_nobody(memory: Memory) -> None:
    await memory.update_block("profile", "secret", user_id="ann")

    assert await memory.working(user_id="cem") == []
    assert await memory.working(user_id="") == []
    assert await memory.working() == []


# episodes


async def test_an_empty_query_recalls_the_newest_first(memory: Memory) -> None:
    for day in (0, 2, 1):
        await memory.remember(episode(f"day {day}", day=day))

    found = await memory.recall("", user_id="ann", limit=2)

    assert [each.input for each in found] == ["day 2", "day 1"]


async def test_recall_finds_the_episode_whose_words_fit_among_many_newer_ones(memory: Memory) -> None:
    await memory.remember(episode("my passport number changed in Lisbon"))
    for day in range(1, 200):
        await memory.remember(episode(f"what is the weather on day {day}", day=day))

    found = await memory.recall("when did I change the passport?", user_id="ann", limit=3)

    assert found[0].input == "my passport number changed in Lisbon"


async def test_recall_needs_no_whole_query_to_occur(memory: Memory) -> None:
    await memory.remember(episode("the invoice of the bakery is overdue"))
    await memory.remember(episode("call mother", day=1))

    found = await memory.recall("bakery invoice status", user_id="ann", limit=1)

    assert found[0].input == "the invoice of the bakery is overdue"


async def test_equally_relevant_episodes_come_newest_first_every_time(memory: Memory) -> None:
    for day in range(10):
        await memory.remember(episode("same words", day=day, id=f"ep_{day}"))

    answers = [[each.id for each in await memory.recall("same words", user_id="ann", limit=3)] for _ in range(3)]

    assert answers == [["ep_9", "ep_8", "ep_7"]] * 3


async def test_recall_without_any_match_falls_back_to_the_newest(memory: Memory) -> None:
    await memory.remember(episode("old"))
    await memory.remember(episode("new", day=1))

    assert [each.input for each in await memory.recall("zebra", user_id="ann")] == ["new", "old"]


async def test_recall_keeps_both_ends_of_a_time_range(memory: Memory) -> None:
    for day in range(5):
        await memory.remember(episode(f"tea on day {day}", day=day))
    days = (DAY + timedelta(days=1), DAY + timedelta(days=3))

    by_time = await memory.recall("", user_id="ann", time_range=days)
    by_words = await memory.recall("tea", user_id="ann", time_range=days)

    assert [each.input[-1] for each in by_time] == ["3", "2", "1"]
    assert sorted(each.input[-1] for each in by_words) == ["1", "2", "3"]


async def test_a_small_user_is_recalled_in_full_beside_a_huge_one(memory: Memory) -> None:
    await memory.remember(episode("budget meeting notes", user="ben"))
    for number in range(300):
        await memory.remember(episode(f"budget meeting notes {number}", user="ann", day=1))

    found = await memory.recall("budget meeting", user_id="ben", limit=5)

    assert [each.user_id for each in found] == ["ben"]


async def test_the_same_episode_id_again_replaces_the_episode_of_that_user_only(memory: Memory) -> None:
    await memory.remember(episode("first", id="ep_1"))
    await memory.remember(episode("of ben", id="ep_1", user="ben"))
    await memory.remember(episode("second", id="ep_1"))

    assert [each.input for each in await memory.recall("", user_id="ann")] == ["second"]
    assert [each.input for each in await memory.recall("", user_id="ben")] == ["of ben"]


async def test_asking_without_a_user_warns_when_named_users_exist_and_returns_only_anonymous_rows(
    memory: Memory,
) -> None:
    await memory.remember(episode("of nobody", user=None))
    assert [each.input for each in await memory.recall("of")] == ["of nobody"]
    await memory.remember(episode("of ann", user="ann"))

    with pytest.warns(IsolationWarning):
        found = await memory.recall("of")

    assert [each.input for each in found] == ["of nobody"]


async def test_scored_recall_gives_the_best_first_with_its_score(memory: Memory) -> None:
    await memory.remember(episode("tea"))
    await memory.remember(episode("green tea with jasmine", day=1))

    found = await memory.recall_scored("green tea", user_id="ann")

    assert [match.episode.input for match in found] == ["green tea with jasmine", "tea"]
    assert found[0].score > found[1].score > 0


async def test_a_session_comes_back_as_real_messages_oldest_first(memory: Memory) -> None:
    for day in range(3):
        await memory.remember(episode(f"q{day}", day=day))
    await memory.remember(episode("elsewhere", session="s2", day=9))
    await memory.remember(episode("of ben", user="ben", day=9))

    messages = await memory.session_messages("s1", user_id="ann", limit=4)

    assert [(message.role, message.content) for message in messages] == [
        (Role.USER, "q1"),
        (Role.ASSISTANT, "noted q1"),
        (Role.USER, "q2"),
        (Role.ASSISTANT, "noted q2"),
    ]


async def test_what_is_remembered_late_takes_its_place_in_time(memory: Memory) -> None:
    await memory.remember(episode("second", day=2))
    await memory.remember(episode("first", day=1))

    messages = await memory.session_messages("s1", user_id="ann")

    assert [message.content for message in messages if message.role is Role.USER] == ["first", "second"]


# profile, export, forget


async def test_a_profile_counts_and_samples_one_user(memory: Memory) -> None:
    for number in range(12):
        await memory.remember(episode("hello", session=f"s{number}", day=number))
        await memory.facts.append(fact(f"city {number}", recorded_at=DAY + timedelta(days=number)))
    await memory.remember(episode("of ben", user="ben"))

    profile = await memory.profile(user_id="ann")

    assert (profile.user_id, profile.episode_count, profile.fact_count) == ("ann", 12, 12)
    assert profile.last_seen == DAY + timedelta(days=11)
    assert profile.recent_sessions == [f"s{number}" for number in range(11, 1, -1)]
    assert [each.object for each in profile.sample_facts] == [f"city {number}" for number in range(11, 1, -1)]


async def test_export_holds_episodes_facts_and_blocks_of_the_user_oldest_first(memory: Memory) -> None:
    await memory.remember(episode("later", day=1))
    await memory.remember(episode("earlier"))
    await memory.facts.append(fact("Rome", recorded_at=DAY + timedelta(days=1)))
    await memory.facts.append(fact("Oslo", predicate="born_in", recorded_at=DAY))
    await memory.update_block("profile", "likes tea", user_id="ann")
    await memory.update_block("profile", "of ben", user_id="ben")
    await memory.remember(episode("of ben", user="ben"))

    export = await memory.export(user_id="ann")

    assert [each.input for each in export.episodes] == ["earlier", "later"]
    assert [each.object for each in export.facts] == ["Oslo", "Rome"]
    assert [each.content for each in export.blocks] == ["likes tea"]
    assert "of ben" not in export.model_dump_json()


# Vectors of episodes make no difference to facts.
@pytest.mark.parametrize("memory", [each for each in ALL if "vectors" not in str(each.id)], indirect=True)
async def test_export_and_forget_have_no_silent_cap(memory: Memory, request: pytest.FixtureRequest) -> None:
    many = 100_500
    if "with its facts" in request.node.name and "sqlite" not in request.node.name:
        many = 6_000  # more than a page of any of them; Chroma takes a second for every thousand or two
    await memory.facts.append_many(
        Fact(user_id="ann", subject="ann", predicate=f"p{n}", object="x", recorded_at=DAY, valid_from=DAY)
        for n in range(many)
    )

    assert (await memory.profile(user_id="ann")).fact_count == many
    assert len((await memory.export(user_id="ann")).facts) == many
    assert await memory.forget(user_id="ann") == many
    assert (await memory.export(user_id="ann")).facts == []


async def test_forgetting_a_user_leaves_nothing_of_them_and_all_of_others(memory: Memory) -> None:
    for user in ("ann", "ben"):
        await memory.remember(episode("hello", user=user))
        await memory.facts.append(fact("Rome", user=user))
        await memory.update_block("profile", "likes tea", user_id=user)

    erased = await memory.forget(user_id="ann")

    assert erased == 2
    left = await memory.export(user_id="ann")
    assert (left.episodes, left.facts, left.blocks) == ([], [], [])
    other = await memory.export(user_id="ben")
    assert (len(other.episodes), len(other.facts), len(other.blocks)) == (1, 1, 1)


async def test_forgetting_nobody_touches_only_the_anonymous_bucket(memory: Memory) -> None:
    await memory.remember(episode("of nobody", user=None))
    await memory.remember(episode("of the empty name", user=""))
    await memory.remember(episode("of ann"))

    assert await memory.forget() == 1
    assert len(await memory.recall("", user_id="ann")) == 1
    assert len(await memory.recall("", user_id="")) == 1


async def test_forgetting_a_session_takes_the_facts_read_from_it_along(memory: Memory) -> None:
    await memory.remember(episode("I live in Rome", id="ep_1", session="s1"))
    await memory.remember(episode("I was born in Oslo", id="ep_2", session="s2"))
    await memory.facts.append(fact("Rome", sources=["ep_1"]))
    await memory.facts.append(fact("Oslo", predicate="born_in", sources=["ep_2"]))
    await memory.facts.append(fact("tea", predicate="likes", sources=["ep_1", "ep_2"]))
    await memory.facts.append(fact("blue", predicate="prefers"))

    erased = await memory.forget(user_id="ann", session_id="s1")

    export = await memory.export(user_id="ann")
    assert erased == 2
    assert [each.session_id for each in export.episodes] == ["s2"]
    assert {each.object: each.sources for each in export.facts} == {"Oslo": ["ep_2"], "tea": ["ep_2"], "blue": []}


async def test_a_forgotten_session_is_not_found_any_more(memory: Memory) -> None:
    await memory.remember(episode("the passport is blue", session="s1"))
    await memory.remember(episode("something else", session="s2"))

    await memory.forget(user_id="ann", session_id="s1")

    assert await memory.session_messages("s1", user_id="ann") == []
    assert [each.session_id for each in await memory.recall("passport blue", user_id="ann")] == ["s2"]


async def test_forgetting_before_a_moment_keeps_what_came_after(memory: Memory) -> None:
    await memory.remember(episode("old", day=0))
    await memory.remember(episode("new", day=10))
    await memory.facts.append(fact("Rome", recorded_at=DAY))
    await memory.facts.append(fact("Oslo", predicate="born_in", recorded_at=DAY + timedelta(days=10)))
    await memory.update_block("profile", "likes tea", user_id="ann")

    erased = await memory.forget(user_id="ann", before=datetime(2026, 3, 5))  # a moment without a zone is UTC

    export = await memory.export(user_id="ann")
    assert erased == 2
    assert [each.input for each in export.episodes] == ["new"]
    assert [each.object for each in export.facts] == ["Oslo"]
    assert len(export.blocks) == 1


class ListFacts:
    """A fact store as a user of Loom would write one."""

    def __init__(self) -> None:
        self.kept: list[Fact] = []

    async def append(self, fact: Fact) -> str:
        self.kept.append(fact)
        return fact.id

    async def query(
        self,
        *,
        subject: str | None = None,
        predicate: str | None = None,
        object_: str | None = None,
        valid_at: datetime | None = None,
        limit: int = 10,
        user_id: str | None = None,
    ) -> list[Fact]:
        return [fact for fact in self.kept if fact.user_id == user_id][:limit]

    async def recall_text(
        self, query: str, *, limit: int = 5, valid_at: datetime | None = None, user_id: str | None = None
    ) -> list[Fact]:
        return await self.query(user_id=user_id, limit=limit)

    async def all_facts(self) -> list[Fact]:
        return self.kept

    async def aclose(self) -> None:
        pass


class ErasableListFacts(ListFacts):
    async def forget(self, *, user_id: str | None, before: Any = None, sources: Any = None) -> int:
        before_count = len(self.kept)
        self.kept = [
            fact for fact in self.kept if fact.user_id != user_id or (sources is not None and not fact.sources)
        ]
        return before_count - len(self.kept)


@pytest.mark.parametrize(
    "make", [pytest.param(make, id=name, marks=NEEDS.get(name, ())) for name, make in MAKERS.items()]
)
async def test_forget_reaches_a_fact_store_that_the_user_brought(make: Maker, tmp_path: Path) -> None:
    store = ErasableListFacts()
    await store.append(fact("Rome"))
    await store.append(fact("Oslo", user="ben"))

    async with opened(make, tmp_path, store) as memory:
        assert await memory.forget(user_id="ann") == 1

    assert [each.user_id for each in store.kept] == ["ben"]


@pytest.mark.parametrize(
    "make", [pytest.param(make, id=name, marks=NEEDS.get(name, ())) for name, make in MAKERS.items()]
)
async def test_forget_refuses_and_erases_nothing_when_the_facts_cannot_be_erased(
    make: Maker,
    tmp_path: Path,
) -> None:
    store = ListFacts()
    await store.append(fact("Rome"))

    async with opened(make, tmp_path, store) as memory:
        await memory.remember(episode("hello"))
        with pytest.raises(ConfigError, match="ListFacts holds facts of user 'ann' and has no forget"):
            await memory.forget(user_id="ann")

        assert len(await memory.recall("", user_id="ann")) == 1
        assert await memory.forget(user_id="cem") == 0
