"""What a memory in a file promises beyond what every memory does: about crashes, neighbors, and what is forgotten."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from loom.errors import MemoryStoreError
from memory.core.backends.sqlite.memory import SqliteMemory
from memory.core.embedders import HashEmbedder
from memory.core.protocol import FactStore
from memory.core.resolver import resolve_memory
from memory.core.values import Episode, Fact

ROOT = Path(__file__).parents[2]
WRITER = """
import sys
import anyio
from memory.core.backends.sqlite.memory import SqliteMemory
from memory.core.values import Episode, Fact

async def main(path, name, count):
    memory = SqliteMemory(path)
    for number in range(count):
        await memory.remember(Episode(session_id=name, user_id="ann", input="hello", output="hi"))
        await memory.append_block("log", "x", user_id="ann")
        await memory.facts.append(Fact(user_id="ann", subject=name, predicate=f"p{number}", object="x"))
        print(number, flush=True)

anyio.run(main, sys.argv[1], sys.argv[2], int(sys.argv[3]))
"""


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def facts_of(memory: SqliteMemory) -> FactStore:
    assert memory.facts is not None
    return memory.facts


def episode(text: str, *, user: str | None = "ann", session: str = "s1") -> Episode:
    return Episode(session_id=session, user_id=user, input=text, output=f"noted {text}")


async def test_everything_is_there_again_after_the_program_has_ended(tmp_path: Path) -> None:
    before = SqliteMemory(tmp_path / "new" / "bot.db")
    kept = episode("my passport is blue")
    await before.remember(kept)
    await before.update_block("profile", "likes tea", user_id="ann")
    await facts_of(before).append(Fact(user_id="ann", subject="ann", predicate="lives_in", object="Rome"))
    await before.aclose()

    after = SqliteMemory(tmp_path / "new" / "bot.db")

    assert await after.recall("passport", user_id="ann") == [kept]
    assert [message.content for message in await after.session_messages("s1", user_id="ann")] == [
        kept.input,
        kept.output,
    ]
    assert [block.content for block in await after.working(user_id="ann")] == ["likes tea"]
    assert [fact.object for fact in await after.recall_facts("Rome", user_id="ann")] == ["Rome"]
    assert await before.recall("passport", user_id="ann") == [kept]  # what was closed opens again


async def test_several_processes_write_into_a_new_file_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    writers = [writer(tmp_path / "bot.db", name, 25) for name in ("one", "two", "three")]
    for process in writers:
        process.communicate(timeout=60)

    memory = SqliteMemory(tmp_path / "bot.db")

    assert [process.returncode for process in writers] == [0, 0, 0]
    profile = await memory.profile(user_id="ann")
    assert (profile.episode_count, profile.fact_count) == (75, 75)
    assert [block.content for block in await memory.working(user_id="ann")] == ["x" * 75]
    assert len(await memory.recall_scored("hello", user_id="ann", limit=100)) == 75


async def test_a_killed_writer_has_lost_nothing_that_it_was_told_is_kept(tmp_path: Path) -> None:
    process = writer(tmp_path / "bot.db", "one", 100_000)
    assert process.stdout is not None
    for _ in range(20):
        done = int(process.stdout.readline()) + 1
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate(timeout=30)
    done += len(rest.split())

    memory = SqliteMemory(tmp_path / "bot.db")

    export = await memory.export(user_id="ann")
    assert done <= len(export.facts) <= len(export.blocks[0].content) <= len(export.episodes) <= done + 1
    assert len(await memory.recall_scored("hello", user_id="ann", limit=200_000)) == len(export.episodes)
    with sqlite3.connect(tmp_path / "bot.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


async def test_the_event_loop_goes_on_while_a_write_waits_for_another_process(tmp_path: Path) -> None:
    memory = SqliteMemory(tmp_path / "bot.db")
    await memory.remember(episode("first"))
    other = sqlite3.connect(tmp_path / "bot.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async with anyio.create_task_group() as group:
        group.start_soon(memory.remember, episode("second"))
        await anyio.sleep(0.1)
        seen = other.execute("SELECT count(*) FROM episode").fetchone()
        other.execute("COMMIT")  # a loop that stood still would never come here
    other.close()

    assert seen == (1,)
    assert len(await memory.recall("", user_id="ann")) == 2


async def test_a_write_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    memory = SqliteMemory(tmp_path / "bot.db")
    await memory.remember(episode("first"))
    with sqlite3.connect(tmp_path / "bot.db") as connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON word BEGIN SELECT RAISE(FAIL, 'no room'); END")
    connection.close()

    with pytest.raises(MemoryStoreError, match=r"bot\.db cannot be used: no room"):
        await memory.remember(episode("second"))

    assert [each.input for each in await memory.recall("", user_id="ann")] == ["first"]


async def test_not_a_byte_of_the_forgotten_is_left_on_disk(tmp_path: Path) -> None:
    memory = SqliteMemory(tmp_path / "bot.db")
    for user in ("ann.secret", "ben"):
        await memory.remember(episode(f"xylophone-{user}", user=user))
        await memory.update_block("profile", f"marimba-{user}", user_id=user)
        await facts_of(memory).append(Fact(user_id=user, subject=user, predicate="plays", object=f"zither-{user}"))

    assert await memory.forget(user_id="ann.secret") == 2

    disk = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"xylophone-ben" in disk
    assert b"ann.secret" not in disk
    assert b"secret" not in disk


async def test_vectors_of_another_embedder_are_passed_over_and_words_still_count(tmp_path: Path) -> None:
    await SqliteMemory(tmp_path / "bot.db", embedder=HashEmbedder(8)).remember(episode("green tea"))
    memory = SqliteMemory(tmp_path / "bot.db", embedder=HashEmbedder(384))
    await memory.remember(episode("black coffee"))

    found = {match.episode.input: match for match in await memory.recall_scored("green tea", user_id="ann")}

    assert found["green tea"].vector_score is None
    assert found["green tea"].bm25_score is not None
    assert found["black coffee"].vector_score is not None


async def test_alpha_chooses_between_words_and_vectors(tmp_path: Path) -> None:
    memory = SqliteMemory(tmp_path / "bot.db", embedder=HashEmbedder())
    await memory.remember(episode("green tea"))
    await memory.remember(episode("black coffee"))

    words = await memory.recall_scored("tea", user_id="ann", alpha=0)
    vectors = await memory.recall_scored("tea", user_id="ann", alpha=1)

    assert [(match.episode.input, match.vector_score) for match in words] == [("green tea", None)]
    assert [match.episode.input for match in vectors] == ["green tea", "black coffee"]
    assert vectors[0].bm25_score is None
    assert vectors[0].vector_score > 0.3 > abs(vectors[1].vector_score)  # type: ignore[operator,arg-type]


async def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("This is no database, and long enough to be seen as none. " * 9)
    (tmp_path / "folder.db").mkdir()

    with pytest.raises(MemoryStoreError, match=r"note\.txt cannot be used: file is not a database"):
        await SqliteMemory(tmp_path / "note.txt").recall("tea", user_id="ann")
    with pytest.raises(MemoryStoreError, match=r"folder\.db cannot be used"):
        await SqliteMemory(tmp_path / "folder.db").remember(episode("tea"))


async def test_a_file_of_a_newer_loom_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "bot.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(MemoryStoreError, match="of version 99, newer than this Loom's 1"):
        await SqliteMemory(tmp_path / "bot.db").recall("tea")


async def test_a_spec_names_the_file_and_what_else_it_is_to_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    named, described = resolve_memory("sqlite:./bot.db"), resolve_memory({"backend": "sqlite", "with_facts": False})
    await named.remember(episode("tea"))
    await described.remember(episode("tea"))

    assert isinstance(named, SqliteMemory)
    assert named.embedder is None
    assert named.facts is not None
    assert described.facts is None  # type: ignore[attr-defined]
    assert {"bot.db", "loom-memory.db"} <= {file.name for file in tmp_path.iterdir()}
