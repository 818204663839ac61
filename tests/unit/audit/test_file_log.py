"""A log in a file: several writers, restarts, rotation, crashes and the key beside it."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import audit
from audit.core.entry import verify_signature
from audit.core.file_log import FileAuditLog
from loom.errors import ConfigError

SECRET = "a secret of the tests"


async def write(log: FileAuditLog, *numbers: int) -> None:
    for n in numbers:
        await log.append(session_id="s", actor="a", action="x", payload={"n": n})


async def numbers(log: FileAuditLog) -> list[int]:
    return [entry.payload["n"] for entry in await log.query(action="x")]


async def test_the_chain_goes_on_after_a_restart(tmp_path: Path) -> None:
    first = FileAuditLog(tmp_path / "logs" / "audit.jsonl", secret=SECRET)
    await write(first, 1, 2)
    first.close()

    second = FileAuditLog(first.path, secret=SECRET)
    await write(second, 3)

    assert [entry.seq for entry in await second.query()] == [1, 2, 3]
    assert await second.verify()


async def test_two_writers_on_one_file_make_one_chain(tmp_path: Path) -> None:
    one, other = (FileAuditLog(tmp_path / "audit.jsonl", secret=SECRET) for _ in range(2))

    for n in range(0, 20, 2):
        await write(one, n)
        await write(other, n + 1)

    assert [entry.seq for entry in await one.query()] == list(range(1, 21))
    assert await other.verify()


WRITER = """
import sys, anyio
from audit.core.file_log import FileAuditLog

async def main(path, name, count):
    log = FileAuditLog(path, secret="a secret of the tests")
    for n in range(count):
        await log.append(session_id=name, actor="a", action="x", payload={"n": n})

anyio.run(main, sys.argv[1], sys.argv[2], int(sys.argv[3]))
"""


async def test_processes_that_write_at_once_lose_and_repeat_nothing(tmp_path: Path) -> None:
    path, count = tmp_path / "audit.jsonl", 150
    root = str(Path(audit.__file__).parents[1])
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), f"p{n}", str(count)], env={"PYTHONPATH": root})
        for n in range(3)
    ]

    assert [writer.wait() for writer in writers] == [0, 0, 0]

    log = FileAuditLog(path, secret=SECRET)
    entries = await log.query()
    assert [entry.seq for entry in entries] == list(range(1, 3 * count + 1))
    for n in range(3):
        assert [entry.payload["n"] for entry in entries if entry.session_id == f"p{n}"] == list(range(count))
    assert await log.verify(await log.head())


async def test_a_child_of_fork_does_not_share_the_lock_of_its_parent(tmp_path: Path) -> None:
    log = FileAuditLog(tmp_path / "audit.jsonl", secret=SECRET)
    await write(log, 0)

    child = os.fork()
    if child == 0:
        fields = {"session_id": "s", "actor": "a", "action": "x", "payload": {"n": 1}, "user_id": None}
        for _ in range(50):
            log._files.append(fields, wait=True)
        os._exit(0)
    await write(log, *[2] * 50)
    _, status = os.waitpid(child, 0)

    assert status == 0
    assert sorted(await numbers(log)) == [0] + [1] * 50 + [2] * 50
    assert await log.verify()


@pytest.mark.parametrize("name", ["audit.jsonl", "audit[1].jsonl"])
async def test_a_rotated_file_is_noticed_and_still_read(tmp_path: Path, name: str) -> None:
    log = FileAuditLog(tmp_path / name, secret=SECRET)
    await write(log, 1, 2)
    log.path.rename(tmp_path / f"{name}.2")
    await write(log, 3)
    with gzip.open(tmp_path / f"{name}-20261123.gz", "wb") as packed:
        packed.write((tmp_path / f"{name}.2").read_bytes())
    (tmp_path / f"{name}.2").unlink()
    log.path.rename(tmp_path / f"{name}.1")
    await write(log, 4)

    assert len(log.path.read_bytes().splitlines()) == 1
    assert await numbers(log) == [1, 2, 3, 4]
    assert (await log.verify()).checked == 4


async def test_a_file_that_is_rotated_away_while_it_is_opened_gets_one_entry_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = FileAuditLog(tmp_path / "audit.jsonl", secret=SECRET)
    opened = os.open

    def open_and_rotate(path: str | Path, *args: int) -> int:
        fd = opened(path, *args)
        if path == log.path:
            monkeypatch.undo()
            log.path.rename(tmp_path / "audit.jsonl.1")
            log.path.touch()
        return fd

    monkeypatch.setattr(os, "open", open_and_rotate)

    await write(log, 1, 2)

    assert len((tmp_path / "audit.jsonl.1").read_bytes().splitlines()) == 1
    assert len(log.path.read_bytes().splitlines()) == 1
    assert await numbers(log) == [1, 2]
    assert await log.verify()


async def test_a_log_whose_oldest_files_were_removed_is_checked_from_a_kept_head(tmp_path: Path) -> None:
    log = FileAuditLog(tmp_path / "audit.jsonl", secret=SECRET)
    await write(log, 1, 2)
    kept = await log.head()
    log.path.unlink()
    await write(log, 3)

    found = await log.verify()
    assert found.broken is not None
    assert found.broken.kind == "delete"
    assert await log.verify(after=kept)


async def test_half_a_line_of_a_crash_is_dropped_and_the_chain_goes_on(tmp_path: Path) -> None:
    log = FileAuditLog(tmp_path / "audit.jsonl", secret=SECRET)
    await write(log, 1)
    log.close()
    with log.path.open("ab") as file:
        file.write(b'{"action":"x","act')

    await write(log, 2)

    assert await numbers(log) == [1, 2]
    assert await log.verify()


async def test_lines_that_are_cut_off_while_nobody_writes_stay_missing(tmp_path: Path) -> None:
    log = FileAuditLog(tmp_path / "audit.jsonl", secret=SECRET)
    await write(log, 1, 2, 3)
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(lines[0])

    await write(log, 4)

    assert [entry.seq for entry in await log.query()] == [1, 4]
    found = await log.verify()
    assert found.broken is not None
    assert (found.broken.kind, found.broken.seq) == ("delete", 2)


async def test_a_lost_head_is_written_down(tmp_path: Path) -> None:
    log = FileAuditLog(tmp_path / "audit.jsonl", secret=SECRET)
    await write(log, 1)
    log.close()
    (tmp_path / "audit.jsonl.head").unlink()

    await write(log, 2)

    assert [entry.action for entry in await log.query()] == ["x", "log.head_missing", "x"]


async def test_a_line_longer_than_a_block_is_found_at_the_end(tmp_path: Path) -> None:
    log = FileAuditLog(tmp_path / "audit.jsonl", secret=SECRET)
    await write(log, 1)
    await log.append(session_id="s", actor="a", action="long", payload={"text": "x" * 300_000})
    log.close()

    await write(log, 2)

    assert await numbers(log) == [1, 2]
    assert await log.verify()


async def test_a_log_without_a_secret_makes_one_that_only_its_owner_can_read(tmp_path: Path) -> None:
    log = FileAuditLog(tmp_path / "audit.jsonl")
    await write(log, 1)
    key = tmp_path / "audit.jsonl.key"

    assert key.stat().st_mode & 0o777 == 0o600
    assert log.path.stat().st_mode & 0o777 == 0o600
    assert verify_signature((await log.query())[0], key.read_text())
    assert await FileAuditLog(log.path).verify()
    assert not await FileAuditLog(log.path, secret="another").verify()


async def test_a_log_without_its_key_is_refused(tmp_path: Path) -> None:
    log = FileAuditLog(tmp_path / "audit.jsonl")
    await write(log, 1)
    (tmp_path / "audit.jsonl.key").unlink()

    with pytest.raises(ConfigError, match="no key"):
        await write(FileAuditLog(log.path), 2)


async def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    log = FileAuditLog(tmp_path / "audit.jsonl")
    await write(log, 1)
    (tmp_path / "audit.jsonl.key").chmod(0o644)

    with pytest.raises(ConfigError, match="chmod 600"):
        await write(FileAuditLog(log.path), 2)


async def test_a_log_that_could_not_be_written_is_written_once_it_can(tmp_path: Path) -> None:
    log = FileAuditLog(tmp_path / "logs" / "audit.jsonl")
    (tmp_path / "logs").touch()
    with pytest.raises(FileExistsError):
        await write(log, 1)
    (tmp_path / "logs").unlink()
    (tmp_path / "logs").mkdir()
    key = tmp_path / "logs" / "audit.jsonl.key"
    key.touch(mode=0o600)
    with pytest.raises(ConfigError, match="is empty"):
        await write(log, 1)
    key.write_text("a" * 64)

    await write(log, 1)

    assert await numbers(log) == [1]
    assert await log.verify()


async def test_opening_reads_the_end_of_the_file_and_not_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = FileAuditLog(tmp_path / "audit.jsonl", secret=SECRET)
    await write(log, 1)
    log.close()
    lines = log.path.read_bytes()
    log.path.write_bytes(b"no entry, and very long\n" * 10_000 + lines)
    pread, read = os.pread, list[int]()
    monkeypatch.setattr(os, "pread", lambda fd, size, start: read.append(size) or pread(fd, size, start))

    await write(log, 2)

    assert sum(read) < 100_000
    assert json.loads(log.path.read_bytes().splitlines()[-1])["seq"] == 2


async def test_the_file_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = FileAuditLog(tmp_path / "audit.jsonl", secret=SECRET)
    await write(log, 1)

    with monkeypatch.context() as closed:
        closed.setattr(os, "open", None)
        await write(log, 2, 3)

    assert await numbers(log) == [1, 2, 3]


async def test_an_extra_field_in_a_line_is_an_edit(tmp_path: Path) -> None:
    log = FileAuditLog(tmp_path / "audit.jsonl", secret=SECRET)
    await write(log, 1)
    log.path.write_bytes(log.path.read_bytes().replace(b'"action"', b'"aaa":"approved by Ann","action"', 1))

    found = await log.verify()

    assert found.broken is not None
    assert found.broken.kind == "edit"


async def test_an_old_copy_of_a_log_can_be_checked_elsewhere(tmp_path: Path) -> None:
    log = FileAuditLog(tmp_path / "audit.jsonl", secret=SECRET)
    await write(log, 1, 2)
    (tmp_path / "elsewhere").mkdir()
    for path in tmp_path.glob("audit.jsonl*"):
        shutil.copy(path, tmp_path / "elsewhere" / path.name)

    assert await FileAuditLog(tmp_path / "elsewhere" / "audit.jsonl", secret=SECRET).verify(await log.head())


async def test_texts_that_look_like_fields_of_an_entry_are_signed_and_read_back(tmp_path: Path) -> None:
    log = FileAuditLog(tmp_path / "audit.jsonl", secret=SECRET)
    lookalike = ',"timestamp":"2020","signature":"'

    made = await log.append(
        session_id=lookalike, actor="a", action="x", payload={"timestamp": "2020", "a": lookalike}, user_id=lookalike
    )

    assert await log.query() == [made]
    assert verify_signature(made, SECRET)
    assert await log.verify()
