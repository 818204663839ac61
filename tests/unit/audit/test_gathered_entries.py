"""Entries that nobody waits for: they gather for a moment, and none is lost or moved."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest

from audit.core.entry import AuditEntry
from audit.core.file_log import FileAuditLog

SECRET = "a secret of the tests"


def log_in(folder: Path, **options: Any) -> FileAuditLog:
    return FileAuditLog(folder / "audit.jsonl", secret=SECRET, **options)


async def soon(log: FileAuditLog, number: int) -> None:
    await log.append_soon(session_id="s", actor="a", action="x", payload={"n": number})


async def now(log: FileAuditLog, number: int) -> AuditEntry:
    return await log.append(session_id="s", actor="a", action="x", payload={"n": number})


async def numbers(log: FileAuditLog) -> list[int]:
    return [entry.payload["n"] for entry in await log.query(action="x")]


def full(*args: object) -> int:
    """In place of a write: the disk is full."""
    raise OSError(28, "No space left on device")


def lines(log: FileAuditLog) -> int:
    return len(log.path.read_bytes().splitlines())


async def test_it_is_written_in_a_moment_without_anything_that_follows(tmp_path: Path) -> None:
    log = log_in(tmp_path)

    await soon(log, 1)
    await soon(log, 2)

    assert lines(log) == 0
    with anyio.fail_after(5):
        while lines(log) < 2:
            await anyio.sleep(0.001)
    assert await log.verify(await log.head())


async def test_it_is_written_before_the_next_that_is_waited_for(tmp_path: Path) -> None:
    log = log_in(tmp_path)

    await soon(log, 1)
    entry = await now(log, 2)

    assert (lines(log), entry.seq) == (2, 2)
    assert await numbers(log) == [1, 2]
    assert await log.verify()


async def test_it_says_when_it_happened_and_what_it_held_then(tmp_path: Path) -> None:
    log, payload = log_in(tmp_path), {"n": 1}

    await log.append_soon(session_id="s", actor="a", action="x", payload=payload)
    payload["n"] = 2
    later = await now(log, 3)

    first, _ = await log.query()
    assert first.payload == {"n": 1}
    assert first.timestamp < later.timestamp


@pytest.mark.parametrize("look", [FileAuditLog.query, FileAuditLog.head, FileAuditLog.verify])
async def test_whoever_reads_finds_it(tmp_path: Path, look: Any) -> None:
    log = log_in(tmp_path)
    await soon(log, 1)

    assert await look(log)
    assert lines(log) == 1


async def test_a_log_that_is_closed_has_written_it(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    await soon(log, 1)

    log.close()

    assert lines(log) == 1
    assert await log_in(tmp_path).verify()


async def test_a_log_that_cannot_be_opened_says_so_at_once(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").mkdir()

    with pytest.raises(IsADirectoryError):
        await soon(log_in(tmp_path), 1)


async def test_what_could_not_be_written_is_kept_and_the_next_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = log_in(tmp_path)
    await now(log, 1)

    with monkeypatch.context() as broken:
        broken.setattr("audit.core.file_log.files.os.write", full)
        await soon(log, 2)
        with anyio.fail_after(5):
            while "No space left" not in caplog.text:
                await anyio.sleep(0.001)
        with pytest.raises(OSError, match="No space left"):
            await soon(log, 3)  # whoever it is for does not go on without it

    await now(log, 4)
    assert await numbers(log) == [1, 2, 4]
    assert await log.verify()


async def test_while_another_writes_it_waits_and_holds_up_nobody(tmp_path: Path) -> None:
    log, other = log_in(tmp_path), log_in(tmp_path)
    await now(log, 1)

    with other._files._locked():
        await soon(log, 2)
        await anyio.sleep(0.02)
        assert lines(log) == 1

    with anyio.fail_after(5):
        while lines(log) < 2:
            await anyio.sleep(0.001)


async def test_with_fsync_it_is_waited_for(tmp_path: Path) -> None:
    log = log_in(tmp_path, fsync=True)

    await soon(log, 1)

    assert lines(log) == 1


async def test_a_log_with_an_append_of_its_own_sees_every_entry(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Copied(FileAuditLog):
        async def append(self, **entry: Any) -> AuditEntry:
            seen.append(entry["payload"])
            return await super().append(**entry)

    await Copied(tmp_path / "audit.jsonl", secret=SECRET).append_soon(
        session_id="s", actor="a", action="x", payload={"n": 1}
    )

    assert seen == [{"n": 1}]


def test_an_event_loop_writes_what_one_before_it_has_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.core.file_log.log._LINGER_SECONDS", 0.2)
    log = log_in(tmp_path)

    async def wait_for_a_line() -> None:
        await soon(log, 2)
        with anyio.fail_after(5):
            while lines(log) < 2:
                await anyio.sleep(0.001)

    anyio.run(soon, log, 1)
    anyio.run(wait_for_a_line)


EXITS = """
import asyncio, sys
from audit.core.file_log import FileAuditLog

sys.held = log = FileAuditLog(sys.argv[1], secret="a secret of the tests")
loop = asyncio.new_event_loop()
loop.run_until_complete(log.append_soon(session_id="s", actor="a", action="x", payload={}))
"""


def test_it_is_written_when_the_process_exits(tmp_path: Path) -> None:
    log = log_in(tmp_path)

    subprocess.run([sys.executable, "-c", EXITS, str(log.path)], check=True)

    assert lines(log) == 1


@pytest.mark.parametrize("user_id", [7, 0])
async def test_an_id_that_is_no_text_is_refused_and_holds_up_nobody(tmp_path: Path, user_id: Any) -> None:
    log = log_in(tmp_path)

    for append in (log.append_soon, log.append):
        with pytest.raises(TypeError, match=f"not {user_id}"):
            await append(session_id="s", actor="a", action="x", payload={}, user_id=user_id)
    await now(log, 1)

    assert await numbers(log) == [1]


async def test_it_is_not_written_twice_when_what_comes_after_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_in(tmp_path)
    await now(log, 1)

    with monkeypatch.context() as broken:
        broken.setattr("audit.core.file_log.files.os.pwrite", full)  # the head
        await soon(log, 2)
        with pytest.raises(OSError, match="No space left"):
            await now(log, 3)

    await now(log, 4)
    assert await numbers(log) == [1, 2, 3, 4]
    assert await log.verify()


async def test_a_log_that_cannot_be_opened_again_tells_the_next_and_closes_no_file_of_others(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    await now(log, 1)
    log.path.rename(tmp_path / "away")
    log.path.mkdir()

    await soon(log, 2)
    await anyio.sleep(0.05)
    with pytest.raises(IsADirectoryError):
        await soon(log, 3)
    with (tmp_path / "other").open("w") as other:
        with pytest.raises(IsADirectoryError):
            await soon(log, 3)
        other.write("still open")

    log.path.rmdir()
    await now(log, 4)
    assert await numbers(log) == [2, 4]


def test_a_child_of_fork_does_not_wait_for_a_thread_that_it_does_not_have(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    anyio.run(now, log, 1)
    writing, done = threading.Event(), threading.Event()

    def write() -> None:
        with log._files._locked():
            writing.set()
            done.wait(10)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(write)
        writing.wait(10)
        if (child := os.fork()) == 0:
            os._exit(0 if log._files._threads.acquire(timeout=0) else 1)
        _, status = os.waitpid(child, 0)
        done.set()

    assert status == 0


async def test_a_child_of_fork_leaves_what_its_parent_has_posted_to_the_parent(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    await soon(log, 1)

    if (child := os.fork()) == 0:
        log._files.append({"session_id": "s", "actor": "a", "action": "x", "payload": {"n": 2}}, wait=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    await now(log, 3)

    assert status == 0
    assert await numbers(log) == [2, 1, 3]
    assert await log.verify()


async def test_threads_lose_and_repeat_nothing(tmp_path: Path) -> None:
    log = log_in(tmp_path)

    async def write(first: int) -> None:
        for number in range(first, first + 50):
            await (now if number % 10 == 9 else soon)(log, number)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(anyio.run, write, 100 * n) for n in range(4)]:
            done.result()

    found = await numbers(log)
    assert sorted(found) == [100 * n + k for n in range(4) for k in range(50)]
    assert all([k for k in found if k // 100 == n] == list(range(100 * n, 100 * n + 50)) for n in range(4))
    assert await log.verify()
