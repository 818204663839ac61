"""What a memory in PostgreSQL promises beyond what every memory does: about new databases, neighbors and vectors."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool

from agents.core.agent import Agent
from loom.errors import ConfigError, Invalid, MemoryStoreError
from loomsite.ports import free_port
from memory.core.backends.in_memory import InMemoryMemory
from memory.core.backends.postgres.facts import PostgresFactStore
from memory.core.backends.postgres.memory import PostgresMemory
from memory.core.embedders import HashEmbedder
from memory.core.protocol import Embedder
from memory.core.resolver import resolve_memory
from memory.core.values import Episode, Fact
from tests.contract.databases import fresh_database, guest
from tests.contract.durable import new_schema

ROOT = Path(__file__).parents[2]
WRITER = """
import sys
import anyio
from memory.core.resolver import resolve_memory
from memory.core.values import Episode, Fact

async def main(dsn, name, count):
    memory = resolve_memory({"backend": "postgres", "dsn": dsn, "embedder": "hash"})
    for number in range(count):
        await memory.remember(Episode(session_id=name, user_id="ann", input="hello", output="hi"))
        await memory.append_block("log", "x", user_id="ann")
        await memory.facts.append(Fact(user_id="ann", subject=name, predicate=f"p{number}", object="x"))
    await memory.aclose()

anyio.run(main, sys.argv[1], sys.argv[2], int(sys.argv[3]))
"""
WITHOUT_CLIENT = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pgvector":
            raise ImportError(f"{name} is blocked here")

sys.meta_path.insert(0, Block())
import anyio
from memory.core.embedders import HashEmbedder
from memory.core.resolver import resolve_memory
from memory.core.values import Episode

async def main(dsn):
    memory = resolve_memory({"backend": "postgres", "dsn": dsn, "embedder": HashEmbedder(8)})
    await memory.remember(Episode(session_id="s", user_id="ann", input="green tea", output="noted"))
    print([match.vector_score > 0 for match in await memory.recall_scored("tea", user_id="ann", alpha=1)])
    print([message.content for message in await memory.session_messages("s", user_id="ann")])
    print([episode.input for episode in (await memory.export(user_id="ann")).episodes])
    await memory.aclose()

anyio.run(main, sys.argv[1])
"""

START = datetime(2026, 3, 1, tzinfo=UTC)
APPLICATION = "a memory under test"
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"


class Sized(HashEmbedder):
    """An embedder of so many dimensions that is told what it makes of a text."""

    def __init__(self, dimensions: int, **known: list[float]) -> None:
        super().__init__(dimensions)
        self.known = known

    async def embed(self, text: str) -> list[float]:
        return self.known[text] if text in self.known else await super().embed(text)


@pytest.fixture
async def memory() -> AsyncIterator[PostgresMemory]:
    memory = await made(make_conninfo(new_schema(), application_name=APPLICATION))
    yield memory
    await memory.aclose()


async def made(dsn: str, **options: Any) -> PostgresMemory:
    memory = await PostgresMemory.connect(dsn, max_size=4, with_facts=True, **options)
    await memory.init_schema()
    return memory


def facts_of(memory: PostgresMemory) -> PostgresFactStore:
    assert isinstance(memory.facts, PostgresFactStore)
    return memory.facts


def episode(text: str, *, user: str | None = "ann", session: str = "s1", **more: Any) -> Episode:
    return Episode(session_id=session, user_id=user, input=text, output=f"noted {text}", **more)


def fact(object_: str, **more: Any) -> Fact:
    return Fact(user_id="ann", subject="ann", predicate="lives_in", object=object_, **more)


# new databases


@pytest.mark.parametrize("embedder", [None, HashEmbedder(32)], ids=["words", "vectors"])
async def test_a_memory_named_by_its_address_works_in_a_fresh_database(embedder: Embedder | None) -> None:
    with fresh_database() as dsn:
        memory = resolve_memory({"backend": "postgres", "url": dsn, "embedder": embedder} if embedder else dsn)
        agent = Agent("Be kind.", model="echo", memory=memory)

        await agent.run("I like green tea.", user_id="ann")
        await memory.facts.append(fact("Rome"))

        assert [each.input for each in await memory.recall("tea", user_id="ann")] == ["I like green tea."]
        assert [each.object for each in await memory.recall_facts("Rome", user_id="ann")] == ["Rome"]
        assert await memory.forget(user_id="ann") == 2
        await memory.aclose()


async def test_a_memory_that_goes_by_words_needs_no_extension() -> None:
    with fresh_database() as dsn:
        memory = await made(dsn)
        await memory.remember(episode("tea"))
        await memory.aclose()

        with psycopg.connect(dsn) as connection:
            extensions = connection.execute("SELECT extname FROM pg_extension").fetchall()

    assert extensions == [("plpgsql",)]


def test_several_processes_use_a_fresh_database_at_once_and_nothing_is_lost() -> None:
    with fresh_database() as dsn:
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, dsn, name, "10"], cwd=ROOT)
            for name in ("one", "two", "three")
        ]
        assert [process.wait(timeout=120) for process in writers] == [0, 0, 0]

        with psycopg.connect(dsn) as connection:
            [(episodes,)] = connection.execute("SELECT count(*) FROM loom_memory_episode")
            [(facts,)] = connection.execute("SELECT count(*) FROM loom_memory_fact")
            [(log,)] = connection.execute("SELECT content FROM loom_memory_block")

    assert (episodes, facts, log) == (30, 30, "x" * 30)


async def test_memories_that_make_their_tables_at_the_same_moment_do_not_disturb_one_another() -> None:
    with fresh_database() as dsn:
        memories = [await PostgresMemory.connect(dsn, embedder=HashEmbedder(8), with_facts=True) for _ in range(8)]
        try:
            async with anyio.create_task_group() as tasks:
                for each in memories:
                    tasks.start_soon(each.init_schema)
        finally:
            for each in memories:
                await each.aclose()


async def test_a_memory_whose_tables_are_there_is_used_by_a_role_that_may_not_make_any(memory: PostgresMemory) -> None:
    with fresh_database() as dsn, guest(dsn) as guest_dsn:
        await (await made(dsn, embedder=HashEmbedder(8))).aclose()
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
            role = guest_dsn.split("//")[1].split(":")[0]
            connection.execute(f"REVOKE CREATE ON SCHEMA public FROM {role}")
            connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}")

        used = await made(guest_dsn, embedder=HashEmbedder(8))
        await used.remember(episode("tea"))
        assert len(await used.recall("tea", user_id="ann")) == 1
        await used.aclose()


async def test_who_may_not_add_pgvector_is_told_what_to_do() -> None:
    with fresh_database() as dsn, guest(dsn) as guest_dsn:
        memory = resolve_memory({"backend": "postgres", "dsn": guest_dsn, "embedder": HashEmbedder(8)})

        with pytest.raises(ConfigError, match=r"needs pgvector .* CREATE EXTENSION vector"):
            await memory.working()
        by_words = resolve_memory(guest_dsn)
        assert await by_words.working() == []
        await by_words.aclose()


async def test_tables_that_were_never_made_are_asked_for() -> None:
    memory = await PostgresMemory.connect(new_schema(), max_size=1)

    with pytest.raises(ConfigError, match=r"init_schema\(\) makes: relation .* does not exist"):
        await memory.remember(episode("tea"))
    await memory.aclose()


async def test_the_statements_of_a_schema_make_it_and_may_be_run_again() -> None:
    dsn = new_schema()
    memory = await PostgresMemory.connect(dsn, embedder=HashEmbedder(16), with_facts=True, max_size=2)
    with psycopg.connect(make_conninfo(dsn, options=f"{make_options(dsn)},public"), autocommit=True) as connection:
        for statement in memory.schema_sql() * 2:
            connection.execute(statement)

    await memory.remember(episode("tea"))
    await facts_of(memory).append(fact("Rome"))

    assert len(await memory.recall("tea", user_id="ann")) == 1
    await memory.aclose()


def make_options(dsn: str) -> str:
    return str(conninfo_to_dict(dsn)["options"])


async def test_a_database_that_is_away_is_named_without_its_password_and_used_when_it_is_there() -> None:
    with fresh_database() as dsn:
        name, password = dsn.rsplit("/", 1)[1], dsn.split(":")[2].split("@")[0]
        later = resolve_memory(dsn.replace(name, f"{name}_later"))

        with pytest.raises(MemoryStoreError) as failed:
            await later.working()
        assert f'database "{name}_later" does not exist' in str(failed.value)
        assert ":***@127.0.0.1" in str(failed.value)
        assert password not in str(failed.value)

        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}_later")
            assert await later.working() == []
            await later.aclose()
            connection.execute(f"DROP DATABASE {name}_later WITH (FORCE)")


async def test_nobody_waits_for_a_server_that_refuses() -> None:
    with pytest.raises(MemoryStoreError, match="Connection refused"):
        await PostgresMemory.connect(f"postgresql://ann@127.0.0.1:{free_port()}/app")


async def test_connections_that_a_server_has_closed_are_not_used(memory: PostgresMemory) -> None:
    await memory.remember(episode("tea"))
    with psycopg.connect(new_schema(), autocommit=True) as connection:
        ours = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
        connection.execute(ours, (APPLICATION,))

    assert len(await memory.recall("tea", user_id="ann")) == 1


async def test_memories_that_are_dropped_leave_neither_connections_nor_tasks() -> None:
    with fresh_database() as dsn:
        before = len(asyncio.all_tasks())
        for _ in range(3):
            await resolve_memory(dsn).update_block("profile", "tea", user_id="ann")
        gc.collect()

        with anyio.fail_after(30), psycopg.connect(dsn) as connection:
            while len(asyncio.all_tasks()) > before or connection.execute(CONNECTIONS).fetchone() != (1,):
                await anyio.sleep(0.01)


# neighbors


async def test_what_is_in_one_namespace_is_neither_seen_nor_erased_in_another() -> None:
    async with AsyncConnectionPool(new_schema(), min_size=1, max_size=2, open=False) as pool:
        memory, other = (
            PostgresMemory(pool, namespace=name, fact_store=PostgresFactStore(pool, namespace=name))
            for name in ("acme", "globex")
        )
        await memory.init_schema()
        for each, city, year in ((memory, "Rome", 2022), (other, "Oslo", 2020)):
            await each.remember(episode(f"I live in {city}", id="ep_1"))
            await each.update_block("profile", city, user_id="ann")
            await facts_of(each).append(fact(city, sources=["ep_1"], valid_from=START.replace(year=year)))

        assert [each.input for each in await memory.recall("live", user_id="ann")] == ["I live in Rome"]
        assert [each.object for each in await memory.recall_facts("ann lives in", user_id="ann")] == ["Rome"]
        assert [(each.object, each.valid_until) for each in await facts_of(other).all_facts()] == [("Oslo", None)]

        assert await other.forget(user_id="ann") == 2

        left, gone = await memory.export(user_id="ann"), await other.export(user_id="ann")
        assert [each.input for each in left.episodes] == ["I live in Rome"]
        assert [each.object for each in left.facts] == ["Rome"]
        assert [each.content for each in left.blocks] == ["Rome"]
        assert (gone.episodes, gone.facts, gone.blocks) == ([], [], [])


def test_a_namespace_has_a_name() -> None:
    with pytest.raises(ConfigError, match="the namespace of a memory has a name"):
        PostgresMemory(None, namespace="")
    with pytest.raises(ConfigError, match="the namespace of facts has a name"):
        PostgresFactStore(None, namespace="")


async def test_facts_that_arrive_together_leave_one_that_holds(memory: PostgresMemory) -> None:
    facts = facts_of(memory)
    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(facts.append, fact(f"city {number}", valid_from=datetime(2020, 1, 1 + number, tzinfo=UTC)))

    kept = await facts.query(user_id="ann", limit=99)

    assert [each.object for each in kept if each.valid_until is None] == ["city 19"]
    assert len(kept) == 20


async def test_facts_of_the_same_database_are_forgotten_together_with_their_episodes(memory: PostgresMemory) -> None:
    await memory.remember(episode("I live in Rome", id="ep_1", session="s1"))
    await facts_of(memory).append(fact("Rome", sources=["ep_1"]))
    with psycopg.connect(await dsn_of(memory), autocommit=True) as connection:
        connection.execute("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no'; END$$")
        connection.execute(
            "CREATE TRIGGER refuse BEFORE DELETE ON loom_memory_fact FOR EACH ROW EXECUTE FUNCTION refuse()"
        )

    with pytest.raises(MemoryStoreError, match="no"):
        await memory.forget(user_id="ann", session_id="s1")

    assert len((await memory.export(user_id="ann")).episodes) == 1


async def dsn_of(memory: PostgresMemory) -> str:
    return str(memory._database._pool.conninfo)


# what can be kept


async def test_what_tools_answer_is_kept_whatever_characters_it_holds(memory: PostgresMemory) -> None:
    kept = episode("a\x00b 'quoted' \\ ünï 漢字 tea'); DROP TABLE loom_memory_episode; --")
    await memory.remember(kept)

    assert await memory.recall("tea 漢字", user_id="ann") == [kept]
    with pytest.raises(Invalid, match="NUL"):
        await memory.update_block("profile", "a\x00b", user_id="ann")


async def test_an_episode_of_megabytes_is_kept_and_found(memory: PostgresMemory) -> None:
    await memory.remember(episode("passport " + "x" * 1_000_000 + " " + " ".join(f"w{n}" for n in range(200_000))))

    assert len(await memory.recall("passport", user_id="ann")) == 1


# words

WORDS = st.sampled_from(["tea", "green", "Green", "mate", "the", "passport", "tea!", "a", "ünï", "漢字", "x1"])
TEXTS = st.lists(WORDS, max_size=8).map(" ".join)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories=st.lists(st.tuples(st.sampled_from(["ann", "ben"]), TEXTS), max_size=12), query=TEXTS)
@example(histories=[("ann", ""), ("ann", "tea")], query="tea")  # half a word on average
async def test_words_find_here_what_they_find_in_any_memory(
    memory: PostgresMemory, histories: list[tuple[str, str]], query: str
) -> None:
    other = InMemoryMemory()
    for user in ("ann", "ben"):
        await memory.forget(user_id=user)
    for day, (user, text) in enumerate(histories):
        kept = Episode(session_id="s", user_id=user, input=text, output="", occurred_at=START + timedelta(days=day))
        await memory.remember(kept)
        await other.remember(kept)

    found = await memory.recall_scored(query, user_id="ann", limit=20)
    wanted = await other.recall_scored(query, user_id="ann", limit=20)

    scores = {match.episode.id: match.score for match in wanted}
    assert {match.episode.id: match.score for match in found} == pytest.approx(scores)
    assert [match.score for match in found] == sorted((match.score for match in found), reverse=True)


# vectors


async def test_vectors_are_found_whichever_version_of_the_client_for_them_is_installed() -> None:
    with fresh_database() as dsn:
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_CLIENT, dsn], cwd=ROOT, capture_output=True, text=True, check=False
        )

    assert done.stdout.splitlines() == ["[True]", "['green tea', 'noted']", "['green tea']"], done.stderr


@pytest.mark.parametrize("tuples", [20_000, 1], ids=["the index goes on", "the index gives up"])
async def test_a_search_by_vectors_finds_as_many_as_asked_for_beside_nearer_rows_of_others(tuples: int) -> None:
    embedder = Sized(4, north=[1.0, 0.0, 0.0, 0.0])
    dsn = new_schema()
    # So few rows would be sorted; as many as there are in production are not.
    dsn = make_conninfo(dsn, options=f"{make_options(dsn)} -c enable_sort=off -c hnsw.max_scan_tuples={tuples}")
    memory = await made(dsn, embedder=embedder)
    body = episode("x", id="ep_x").model_dump_json()
    async with memory._database.transaction(searching=True) as connection:
        await connection.execute(
            """
            INSERT INTO loom_memory_episode (namespace, owner, id, session, at, body, words, length, embedding)
            SELECT 'default', owner, 'ep_' || number, 's', now(), replace(%s, 'ep_x', 'ep_' || number), '', 1,
                concat('[', part, ',1,', random(), ',0]')::vector
            FROM generate_series(1, 1200) AS number, (VALUES ('user:ann', 0), ('user:ben', 50)) AS owned (owner, part)
            """,
            (body,),
        )

    found = await memory.recall_scored("north", user_id="ann", limit=30, alpha=1)

    assert len(found) == 30
    assert all(match.vector_score is not None and match.vector_score < 0.1 for match in found)
    await memory.aclose()


async def test_an_embedder_of_another_size_begins_anew_beside_the_old_vectors() -> None:
    dsn = new_schema()
    old, new = await made(dsn, embedder=HashEmbedder(8)), await made(dsn, embedder=HashEmbedder(16))
    await old.remember(episode("green tea"))
    await new.remember(episode("green mate"))

    assert [match.episode.input for match in await new.recall_scored("green", user_id="ann", alpha=1)] == ["green mate"]
    assert [match.episode.input for match in await old.recall_scored("green", user_id="ann", alpha=1)] == ["green tea"]
    assert len(await new.recall("green", user_id="ann")) == 2
    await old.aclose()
    await new.aclose()


@pytest.mark.parametrize("dimensions", [2_000, 3_072, 4_096])
async def test_vectors_of_great_embedders_are_found(dimensions: int) -> None:
    memory = await made(new_schema(), embedder=HashEmbedder(dimensions))
    await memory.remember(episode("green tea"))
    await facts_of(memory).append(fact("Rome"))

    (match,) = await memory.recall_scored("green tea", user_id="ann", alpha=1)
    assert match.vector_score is not None
    assert match.vector_score > 0.5
    assert [each.object for each in await memory.recall_facts("ann Rome", user_id="ann")] == ["Rome"]
    await memory.aclose()


async def test_a_text_without_a_direction_is_found_by_its_words() -> None:
    memory = await made(new_schema(), embedder=Sized(2, tea=[0.0, 0.0], **{"tea\nnoted tea": [0.0, 0.0]}))
    await memory.remember(episode("tea"))

    (match,) = await memory.recall_scored("tea", user_id="ann")

    assert (match.vector_score, match.bm25_score is None) == (None, False)
    await memory.aclose()
