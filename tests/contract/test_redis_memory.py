"""What memory on a Redis promises beyond what every memory does: about neighbors, other writers, and its index."""

from __future__ import annotations

import gc
import os
import secrets
import warnings
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from loom.context import IsolationWarning
from loom.errors import ConfigError, MemoryStoreError
from memory.core.backends.in_memory import InMemoryMemory
from memory.core.backends.redis.facts import RedisFactStore
from memory.core.backends.redis.memory import RedisMemory
from memory.core.backends.redis.server import RedisServer
from memory.core.embedders import HashEmbedder
from memory.core.lazy import LazyMemory
from memory.core.resolver import resolve_memory
from memory.core.values import Episode, Fact
from tests.contract import redis_servers

DAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
async def _clients() -> AsyncIterator[None]:
    yield
    await redis_servers.close_clients()


@pytest.fixture
def prefix() -> str:
    return f"test-{secrets.token_hex(8)}:"


@pytest.fixture(scope="module")
def searching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if redis_servers.search_module() is None:
        pytest.skip("there is no search module for Redis: scripts/bootstrap extras brings one for Linux on x86-64")
    with redis_servers.searching_server(tmp_path_factory.mktemp("search")) as url:
        yield url


def episode(text: str, *, user: str | None = "ann", session: str = "s1", day: int = 0, **more: Any) -> Episode:
    at = DAY + timedelta(days=day)
    return Episode(session_id=session, user_id=user, input=text, output=f"noted {text}", occurred_at=at, **more)


def fact(object_: str, *, user: str | None = "ann", predicate: str = "lives_in") -> Fact:
    return Fact(user_id=user, subject="ann", predicate=predicate, object=object_)


def memory_on(url: str | None, prefix: str, **options: Any) -> RedisMemory:
    facts = RedisFactStore(redis_servers.client(url), key_prefix=f"{prefix}fact:", embedder=options.get("embedder"))
    return RedisMemory(redis_servers.client(url), key_prefix=prefix, fact_store=facts, **options)


async def keys_with(part: str, url: str | None = None) -> list[bytes]:
    return [key async for key in redis_servers.client(url).scan_iter(match=f"*{part}*", count=10_000)]


# neighbors


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
@given(
    shares=st.dictionaries(
        st.tuples(
            st.sampled_from(["acme:", "globex:", "acme:user:"]), st.sampled_from([None, "", "ann", "a:nn", "{}"])
        ),
        st.integers(0, 30),
        min_size=2,
    ),
    limit=st.integers(1, 40),
)
async def test_every_user_of_every_tenant_recalls_all_of_their_own_and_nothing_else(
    prefix: str, shares: dict[tuple[str, str | None], int], limit: int
) -> None:
    root = f"{prefix}{secrets.token_hex(4)}:"
    places = {where: (memory_on(None, root + where[0]), where[1]) for where in shares}
    for (tenant, user), count in shares.items():
        memory, _ = places[tenant, user]
        for number in range(count):
            await memory.remember(episode(f"budget {tenant}{user} {number}", user=user, id=f"ep_{number}"))

    for (tenant, user), count in shares.items():
        memory, _ = places[tenant, user]
        with warnings.catch_warnings(action="ignore", category=IsolationWarning):
            found = await memory.recall("budget", user_id=user, limit=limit)
        assert [each.input.rpartition(" ")[0] for each in found] == [f"budget {tenant}{user}"] * min(count, limit)
    (first, gone), *others = [(places[where], count) for where, count in shares.items()]
    assert await first[0].forget(user_id=first[1]) == gone
    assert (await first[0].export(user_id=first[1])).episodes == []
    for (memory, user), count in others:
        assert len((await memory.export(user_id=user)).episodes) == count


@pytest.mark.parametrize("indexed", [False, True])
async def test_a_small_user_beside_a_huge_one_is_recalled_in_full_by_vectors(
    prefix: str, indexed: bool, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("searching") if indexed else None
    memory = memory_on(url, prefix, embedder=HashEmbedder(16))
    for _ in range(200):
        await memory.remember(episode("budget", user="ann"))
        await memory.remember(episode("budget", user="Ben"))
    for number in range(4):
        await memory.remember(episode(f"what the garden costs {number}", user="ben"))

    found = await memory.recall_scored("budget", user_id="ben", limit=10, alpha=1)

    assert [match.episode.user_id for match in found] == ["ben"] * 4


async def test_facts_of_one_namespace_are_not_those_of_another(prefix: str) -> None:
    url = os.environ["REDIS_URL"]
    one, other = (
        resolve_memory({"backend": "redis", "url": url, "key_prefix": prefix, "namespace": name})
        for name in ("acme", "globex")
    )
    await one.facts.append(fact("Rome"))
    await other.facts.append(fact("Oslo"))
    await one.remember(episode("I live in Rome"))

    assert [each.object for each in await other.recall_facts("lives in", user_id="ann")] == ["Oslo"]
    assert await other.recall("", user_id="ann") == []
    assert await other.forget(user_id="ann") == 1

    assert [each.object for each in (await one.export(user_id="ann")).facts] == ["Rome"]
    await one.aclose()
    await other.aclose()


async def test_nobody_is_neither_the_user_without_a_name_nor_one_called_nobody(prefix: str) -> None:
    memory = memory_on(None, prefix)
    for user in (None, "", "nobody"):
        await memory.facts.append(fact("Rome", user=user))
        await memory.update_block("profile", f"of {user}", user_id=user)

    assert await memory.forget(user_id="") == 1

    assert [(await memory.export(user_id=user)).blocks == [] for user in (None, "", "nobody")] == [False, True, False]
    assert [each.user_id for each in await memory.facts.all_facts()] == [None, "nobody"]


async def test_nothing_done_for_one_user_needs_a_key_of_another_or_looks_through_all_keys(prefix: str) -> None:
    url = os.environ["REDIS_URL"]
    admin = redis_servers.client(url)
    name, password = f"only-{secrets.token_hex(4)}", secrets.token_hex(8)
    theirs = [f"~{start}{which}:*" for start in (prefix, f"{prefix}fact:") for which in ("{user:ann}", "{}")]
    never = ["-keys", "-scan", "-randomkey", "-flushall", "-flushdb"]
    await admin.execute_command("ACL", "SETUSER", name, "on", f">{password}", "+@all", *never, *theirs)
    whole = memory_on(url, prefix, embedder=HashEmbedder(16))
    await whole.remember(episode("of ben", user="ben"))

    limited = memory_on(f"redis://{name}:{password}@{url.rpartition('@')[2]}", prefix, embedder=HashEmbedder(16))
    for number in range(3):
        await limited.remember(episode(f"tea {number}", id="ep_1" if number else "ep_0"))
    await limited.update_block("profile", "likes tea", user_id="ann")
    await limited.append_block("profile", " a lot", user_id="ann")
    await limited.facts.append_many([fact("Rome"), fact("Oslo")])
    assert len(await limited.recall("tea", user_id="ann")) == 2
    assert len(await limited.session_messages("s1", user_id="ann")) == 4
    assert len(await limited.recall_facts("Oslo", user_id="ann")) == 1
    assert (await limited.profile(user_id="ann")).episode_count == 2
    assert len((await limited.export(user_id="ann")).blocks) == 1
    with pytest.raises(MemoryStoreError, match="No permissions to access a key"):
        await limited.working(user_id="ben")
    assert await limited.forget(user_id="ann", session_id="s1", before=DAY) == 0
    assert await limited.forget(user_id="ann") == 4

    assert len((await whole.export(user_id="ben")).episodes) == 1
    await admin.execute_command("ACL", "DELUSER", name)


@pytest.mark.parametrize("indexed", [False, True])
async def test_no_key_and_no_name_of_the_forgotten_is_left_on_the_server(
    prefix: str, indexed: bool, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("searching") if indexed else os.environ["REDIS_URL"]
    memory = memory_on(url, prefix, embedder=HashEmbedder(16))
    for user in ("ann", "ben"):
        for number in range(3):
            await memory.remember(episode(f"tea {number}", user=user, session=f"s{number}"))
        await memory.update_block("profile", "likes tea", user_id=user)
        await memory.facts.append(fact("Rome", user=user))
    assert len(await keys_with(f"{prefix}*ann", url)) > 5

    for session in ("s0", "s1", "s2"):
        await memory.forget(user_id="ann", session_id=session)
    await memory.forget(user_id="ann")

    admin = redis_servers.client(url, decode_responses=True)
    assert await keys_with(f"{prefix}*ann", url) == []
    assert await admin.smembers(f"{prefix}{{}}:episode-users") == {"ben"}
    assert await admin.smembers(f"{prefix}fact:{{}}:fact-users") == {"ben"}
    assert [each.user_id for each in await memory.facts.all_facts()] == ["ben"]


@pytest.mark.parametrize("count", [40, 200])
async def test_scores_are_those_of_the_memory_in_this_process(prefix: str, count: int) -> None:
    draw = Random(count)
    vocabulary = [f"word{number}" for number in range(30)]
    memory, reference = memory_on(None, prefix), InMemoryMemory()
    for number in range(count):
        text = " ".join(draw.choices(vocabulary, weights=range(1, 31), k=draw.randint(1, 9)))
        for each in (memory, reference):
            await each.remember(episode(text, day=number, id=f"ep_{number}"))
        await memory.remember(episode(text, user="ben", day=number))
    await memory.remember(episode("replaced", day=3, id="ep_3"))
    await reference.remember(episode("replaced", day=3, id="ep_3"))

    for _ in range(10):
        query = " ".join(draw.choices(vocabulary, k=3))
        expected = await reference.recall_scored(query, user_id="ann", limit=5)
        found = await memory.recall_scored(query, user_id="ann", limit=5)
        assert [match.score for match in found] == pytest.approx([match.score for match in expected])
        assert {match.episode.id for match in found} == {match.episode.id for match in expected}


# other programs, and the wire


async def test_everything_is_there_again_after_the_program_has_ended(prefix: str) -> None:
    before = memory_on(None, prefix)
    kept = episode("my passport is blue")
    await before.remember(kept)
    await before.update_block("profile", "likes tea", user_id="ann")
    await before.facts.append(fact("Rome"))
    await redis_servers.close_clients()

    after = memory_on(None, prefix)

    assert await after.recall("passport", user_id="ann") == [kept]
    assert [block.content for block in await after.working(user_id="ann")] == ["likes tea"]
    assert [each.object for each in await after.recall_facts("Rome", user_id="ann")] == ["Rome"]


async def test_a_client_that_decodes_answers_will_do_too(prefix: str) -> None:
    embedder = HashEmbedder(16)
    client = redis_servers.client(decode_responses=True)
    facts = RedisFactStore(client, key_prefix=f"{prefix}fact:", embedder=embedder)
    memory = RedisMemory(client, key_prefix=prefix, embedder=embedder, fact_store=facts)
    await memory.remember(episode("tea für zwei"))
    await facts.append(fact("Zürich"))

    assert [match.vector_score for match in await memory.recall_scored("tea für zwei", user_id="ann")] != [None]
    assert [each.object for each in await memory.recall_facts("Zürich", user_id="ann")] == ["Zürich"]


async def test_several_writers_at_once_lose_nothing(prefix: str) -> None:
    async def write(name: str) -> None:
        memory = memory_on(None, prefix)
        for number in range(15):
            await memory.remember(episode("hello", session=name))
            await memory.append_block("log", "x", user_id="ann")
            await memory.facts.append(fact(name, predicate=f"p{number}"))

    async with anyio.create_task_group() as writers:
        for name in ("one", "two", "three"):
            writers.start_soon(write, name)

    memory = memory_on(None, prefix)
    export = await memory.export(user_id="ann")
    assert (len(export.episodes), len(export.facts)) == (45, 45)
    assert [block.content for block in export.blocks] == ["x" * 45]
    assert len(await memory.recall_scored("hello", user_id="ann", limit=100)) == 45
    assert [len(await memory.facts.query(subject="ann", predicate=f"p{n}", user_id="ann")) for n in range(15)] == [
        3
    ] * 15


async def test_a_write_whose_connection_breaks_is_not_done_again_in_silence(prefix: str) -> None:
    victim = redis_servers.client(client_name=prefix, retry=Retry(NoBackoff(), 3))
    server = RedisServer(victim)
    plans = 0

    async def plan() -> tuple[None, list[Any]]:
        nonlocal plans
        plans += 1
        assert plans == 1
        admin = redis_servers.client()
        for each in await admin.client_list():
            if each["name"] == prefix:
                await admin.client_kill_filter(_id=each["id"])
        return None, [("APPEND", f"{prefix}log", "x")]

    with pytest.raises(MemoryStoreError, match="the Redis server was lost while it was written to"):
        await server.change(f"{prefix}log", plan=plan)


async def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    memory = resolve_memory("redis://ann:secret@127.0.0.1:9/0")
    assert isinstance(memory, LazyMemory)

    with pytest.raises(MemoryStoreError, match=r"redis://ann:\*\*\*@127.0.0.1:9/0 cannot be") as refused:
        await memory.working(user_id="ann")

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("prefix", ["", "loom:{acme}:", "}"])
async def test_a_prefix_in_which_keys_of_others_could_lie_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match="is no key_prefix"):
        RedisFactStore(object(), key_prefix=prefix)
    with pytest.raises(ConfigError, match="is no key_prefix"):
        RedisMemory(object(), key_prefix=prefix)


async def test_what_is_no_url_is_refused_without_its_password() -> None:
    with pytest.raises(ConfigError, match=r"'redis://:\*\*\*@h:port/0' is no URL of a Redis"):
        await RedisMemory.connect("redis://:secret@h:port/0")


# the index of a search module


async def test_the_index_finds_what_a_comparison_with_every_vector_finds(prefix: str, searching: str) -> None:
    embedder = HashEmbedder(64)
    indexed = memory_on(searching, prefix, embedder=embedder)
    compared = memory_on(searching, prefix, embedder=embedder, use_vector_index=False)
    for number in range(60):
        about = ("tea", "rain", "rent", "music")[number % 4]
        await (indexed, compared)[number % 2].remember(episode(f"{about} {number}", user="ann", day=number))
        await indexed.remember(episode(f"{about} {number}", user="ben", day=number))
    days = (DAY + timedelta(days=10), DAY + timedelta(days=40))

    for query, times in (("tea", None), ("music rain", days)):
        answers = [
            await memory.recall_scored(query, user_id="ann", limit=8, alpha=1, time_range=times)
            for memory in (indexed, compared)
        ]
        assert [match.episode.id for match in answers[0]] == [match.episode.id for match in answers[1]]
        assert [match.vector_score for match in answers[0]] == pytest.approx(
            [match.vector_score for match in answers[1]], abs=1e-5
        )
    names = await redis_servers.client(searching, decode_responses=True).execute_command("FT._LIST")
    assert f"loom_idx:{prefix}64" in names


async def test_the_index_knows_users_apart_that_differ_in_case_alone(prefix: str, searching: str) -> None:
    memory = memory_on(searching, prefix, embedder=HashEmbedder(16))
    await memory.remember(episode("tea", user="Ann"))
    await memory.remember(episode("tea", user="ann"))

    found = await memory.recall_scored("tea", user_id="ann", alpha=1)

    assert [match.episode.user_id for match in found] == ["ann"]


async def test_an_index_is_not_asked_before_it_has_read_what_was_stored_without_it(prefix: str, searching: str) -> None:
    embedder = HashEmbedder(16)
    without = memory_on(searching, prefix, embedder=embedder, use_vector_index=False)
    for number in range(300):
        await without.remember(episode(f"tea {number}", id=f"ep_{number}"))
    memory = memory_on(searching, prefix, embedder=embedder)

    counts = [len(await memory.recall_scored("tea", user_id="ann", alpha=1, limit=400)) for _ in range(10)]

    assert counts == [300] * 10


async def test_an_embedder_of_another_size_passes_over_vectors_that_it_cannot_compare(
    prefix: str, searching: str
) -> None:
    await memory_on(searching, prefix, embedder=HashEmbedder(16)).remember(episode("tea"))
    memory = memory_on(searching, prefix, embedder=HashEmbedder(32))
    await memory.remember(episode("tea again", day=1))

    found = await memory.recall_scored("tea", user_id="ann", alpha=1)

    assert [match.episode.input for match in found] == ["tea again"]
    assert len(await memory.recall("tea", user_id="ann")) == 2


async def test_memories_that_are_dropped_leave_no_connections(prefix: str) -> None:
    url, name = os.environ["REDIS_URL"], f"dropped-{secrets.token_hex(4)}"
    watcher = Redis.from_url(url)

    async def connections() -> int:
        return sum(client["name"] == name for client in await watcher.client_list())

    for _ in range(3):
        memory = resolve_memory({"backend": "redis", "url": f"{url}?client_name={name}", "key_prefix": prefix})
        await memory.update_block("profile", "tea", user_id="ann")
        assert await connections()
        del memory
        gc.collect()

        with anyio.fail_after(30):
            while await connections():
                await anyio.sleep(0.01)
    await watcher.aclose()
