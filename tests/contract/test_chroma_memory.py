"""What memory in Chroma promises beyond what every memory does: about neighbors, its client, and the network."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from loom.errors import ConfigError, MemoryStoreError
from memory.core.backends.chroma.facts import ChromaFactStore
from memory.core.backends.chroma.memory import ChromaMemory
from memory.core.embedders import HashEmbedder
from memory.core.extras import MissingPackage
from memory.core.resolver import resolve_memory
from memory.core.values import Episode, Fact
from tests.contract.extras import chroma

pytestmark = chroma
ROOT = Path(__file__).parents[2]
DAY = datetime(2026, 3, 1, tzinfo=UTC)


def episode(text: str, *, user: str | None = "ann", session: str = "s1", day: int = 0, **more: Any) -> Episode:
    at = DAY + timedelta(days=day)
    return Episode(session_id=session, user_id=user, input=text, output=f"noted {text}", occurred_at=at, **more)


def fact(object_: str, *, user: str | None = "ann", predicate: str = "lives_in") -> Fact:
    return Fact(user_id=user, subject="ann", predicate=predicate, object=object_)


async def test_everything_is_there_again_after_the_program_has_ended(tmp_path: Path) -> None:
    before = resolve_memory(f"chroma:{tmp_path}/new/vectors")
    kept = episode("my passport is blue")
    await before.remember(kept)
    await before.update_block("profile", "likes tea", user_id="ann")
    await before.facts.append(fact("Rome"))
    await before.aclose()
    program = f"""
import anyio
from memory.core.resolver import resolve_memory

async def main():
    memory = resolve_memory("chroma:{tmp_path}/new/vectors")
    print([each.id for each in await memory.recall("passport", user_id="ann")])
    print([block.content for block in await memory.working(user_id="ann")])
    print([each.object for each in await memory.recall_facts("Rome", user_id="ann")])

anyio.run(main)
"""

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == [f"['{kept.id}']", "['likes tea']", "['Rome']"]
    assert await before.recall("passport", user_id="ann") == [kept]  # what was closed opens again


async def test_what_lies_in_this_process_is_shared_with_nobody_and_gone_when_it_is_closed() -> None:
    one, other = resolve_memory("chroma"), resolve_memory("chroma")
    await one.remember(episode("tea"))
    await one.facts.append(fact("Rome"))

    assert await other.recall("tea", user_id="ann") == []
    await other.aclose()
    assert len(await one.recall("tea", user_id="ann")) == 1
    await one.aclose()
    assert await one.recall("tea", user_id="ann") == []
    assert await one.facts.all_facts() == []
    await one.aclose()


async def test_one_namespace_of_a_directory_knows_nothing_of_another(tmp_path: Path) -> None:
    one, other = (
        resolve_memory({"backend": "chroma", "path": str(tmp_path), "namespace": name, "embedder": "hash"})
        for name in ("acme", "acme-2")
    )
    await one.remember(episode("I live in Rome"))
    await one.update_block("profile", "likes tea", user_id="ann")
    await one.facts.append(fact("Rome"))
    await other.facts.append(fact("Oslo"))

    assert await other.recall("", user_id="ann") == await other.recall_scored("Rome", user_id="ann") == []
    assert [each.object for each in await other.recall_facts("lives in", user_id="ann")] == ["Oslo"]
    assert await other.forget(user_id="ann") == 1

    export = await one.export(user_id="ann")
    assert (len(export.episodes), len(export.facts), len(export.blocks)) == (1, 1, 1)
    await one.aclose()
    await other.aclose()


async def test_a_small_user_beside_a_huge_one_is_recalled_in_full_by_vectors() -> None:
    memory = ChromaMemory.ephemeral(embedder=HashEmbedder(16))
    for _ in range(200):
        await memory.remember(episode("budget", user="Ben"))
    for number in range(30):
        await memory.remember(episode(f"what the garden costs {number}", user="ben"))

    found = await memory.recall_scored("budget", user_id="ben", limit=50, alpha=1)

    assert [match.episode.user_id for match in found] == ["ben"] * 30
    await memory.aclose()


async def test_an_embedder_may_be_added_and_changed(tmp_path: Path) -> None:
    await ChromaMemory.local(str(tmp_path)).remember(episode("tea", id="ep_1"))
    small = ChromaMemory.local(str(tmp_path), embedder=HashEmbedder(16))
    await small.remember(episode("tea again", id="ep_2", day=1))
    large = ChromaMemory.local(str(tmp_path), embedder=HashEmbedder(32))
    await large.remember(episode("tea at last", id="ep_3", day=2))

    by_vectors = await large.recall_scored("tea", user_id="ann", alpha=1)

    assert [match.episode.id for match in by_vectors] == ["ep_3"]
    assert len(await large.recall("tea", user_id="ann")) == 3
    await small.remember(episode("rain", id="ep_3", day=3))
    assert await large.recall_scored("tea", user_id="ann", alpha=1) == []
    assert (await small.recall_scored("rain", user_id="ann", alpha=1))[0].episode.input == "rain"


async def test_no_vector_of_the_forgotten_is_left(tmp_path: Path) -> None:
    memory = ChromaMemory.local(str(tmp_path), embedder=HashEmbedder(16), with_facts=True)
    for user in ("ann", "ben"):
        await memory.remember(episode("tea", user=user))
        await memory.update_block("profile", "likes tea", user_id=user)
        await memory.facts.append(fact("Rome", user=user))

    assert await memory.forget(user_id="ann") == 2
    await memory.aclose()

    from chromadb import PersistentClient

    with PersistentClient(str(tmp_path)) as client:
        left = {each.name: each.get(include=["metadatas"])["metadatas"] for each in client.list_collections()}
    assert set(left) == {
        "loom_episodes", "loom_episodes-16d", "loom_episodes-blocks", "loom_facts", "loom_facts-16d",
    }  # fmt: skip
    assert {row["owner"] for rows in left.values() for row in rows} == {"user:ben"}
    assert [len(rows) for rows in left.values()] == [1] * 5


async def test_tasks_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    async def write(name: str) -> None:
        memory = ChromaMemory.local(str(tmp_path), with_facts=True)
        for number in range(5):
            await memory.remember(episode("hello", session=name))
            await memory.append_block("log", "x", user_id="ann")
            await memory.facts.append(fact(name, predicate=f"p{number}"))

    async with anyio.create_task_group() as writers:
        for name in ("one", "two", "three"):
            writers.start_soon(write, name)

    export = await ChromaMemory.local(str(tmp_path), with_facts=True).export(user_id="ann")
    assert (len(export.episodes), len(export.facts)) == (15, 15)
    assert [block.content for block in export.blocks] == ["x" * 15]
    assert len([each for each in export.facts if each.valid_until is None]) == 5


async def test_a_client_that_is_given_is_used_and_left_open(tmp_path: Path) -> None:
    from chromadb import PersistentClient

    with PersistentClient(str(tmp_path)) as client:
        facts = ChromaFactStore(client, collection_name="acme_facts")
        memory = ChromaMemory(client, collection_name="acme", fact_store=facts)
        await memory.remember(episode("tea"))
        await facts.append(fact("Rome"))
        await memory.aclose()

        assert sorted(each.name for each in client.list_collections()) == ["acme", "acme_facts"]
        assert len(await memory.recall("tea", user_id="ann")) == 1


async def test_a_place_that_the_program_has_opened_in_its_own_way_can_be_opened_here_too(tmp_path: Path) -> None:
    from chromadb import PersistentClient

    with PersistentClient(str(tmp_path)) as client:
        memory = ChromaMemory.local(str(tmp_path))
        await memory.remember(episode("tea"))

        assert [each.name for each in client.list_collections()] == ["loom_episodes"]
        await memory.aclose()


async def test_what_chroma_cannot_do_is_reported_as_a_failure_of_the_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")

    with pytest.raises(MemoryStoreError, match="Chroma cannot be used: "):
        await ChromaMemory.local(str(tmp_path / "file")).working(user_id="ann")
    with pytest.raises(MemoryStoreError, match="Got: a b"):
        await ChromaMemory.ephemeral(collection_name="a b").recall("", user_id="ann")


def test_names_that_mean_something_beside_another_are_refused() -> None:
    for name in ("acme-facts", "acme-blocks", "acme-384d"):
        with pytest.raises(ConfigError, match="ends as those do that Loom puts beside another"):
            ChromaMemory.ephemeral(collection_name=name)


def test_an_asynchronous_client_is_refused() -> None:
    class AsyncClientAPI:
        async def get_or_create_collection(self) -> None: ...

    with pytest.raises(ConfigError, match="AsyncClientAPI is asynchronous"):
        ChromaMemory(AsyncClientAPI())


@pytest.mark.parametrize(
    "make",
    [
        lambda: resolve_memory("chroma"),
        lambda: resolve_memory({"backend": "chroma", "path": "x"}),
        ChromaMemory.ephemeral,
        ChromaFactStore.ephemeral,
        lambda: ChromaFactStore.local("x"),
    ],
)
def test_without_the_package_it_is_said_what_to_install(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chromadb", None)

    with pytest.raises(MissingPackage, match=r"chromadb is not installed.*pip install 'loom\[chroma\]'"):
        make()


def test_nothing_leaves_the_machine_and_no_model_is_fetched(tmp_path: Path) -> None:
    program = f"""
import socket, sys

def refused(*where):
    raise AssertionError(f"the network was used: {{where}}")

for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, refused)
socket.getaddrinfo = refused

import anyio
from memory.core.backends.chroma.memory import ChromaMemory
from memory.core.embedders import HashEmbedder
from memory.core.values import Episode, Fact

async def main():
    for embedder in (None, HashEmbedder(16)):
        memory = ChromaMemory.local({str(tmp_path)!r}, embedder=embedder, with_facts=True)
        await memory.remember(Episode(session_id="s", user_id="ann", input="tea", output="noted"))
        await memory.append_block("profile", "likes tea", user_id="ann")
        await memory.facts.append(Fact(user_id="ann", subject="ann", predicate="likes", object="tea"))
        await memory.facts.append(Fact(user_id="ann", subject="ann", predicate="likes", object="mate"))
        assert await memory.recall("tea", user_id="ann")
        assert await memory.recall_facts("mate", user_id="ann")
        await memory.forget(user_id="ann")
        await memory.aclose()

anyio.run(main)
assert "onnxruntime" not in sys.modules
"""

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
