"""Any change to a log is found, and named."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from audit.core.chain import verify
from audit.core.entry import AuditEntry, Head, verify_signature
from audit.core.file_log import FileAuditLog
from audit.core.log import InMemoryAuditLog

SECRET = "a secret of the tests"
SEED = int(os.environ.get("LOOM_TEST_SEED", random.randrange(2**32)))
PLACES = 12
LENGTH = 40


async def written(path: Path, entries: int = LENGTH, *, secret: str = SECRET, tag: str = "") -> FileAuditLog:
    log = FileAuditLog(path, secret=secret)
    for n in range(entries):
        await log.append(
            session_id=f"s{n % 3}", actor="model", action="tool_call", payload={"n": n, "tag": tag}, user_id="ann"
        )
    return log


class Tampering:
    """A log on disk, and somebody who can write its files."""

    def __init__(self, path: Path, chance: random.Random) -> None:
        self.path, self.chance = path, chance
        self.lines = path.read_bytes().splitlines(keepends=True)
        self.at = chance.randrange(1, len(self.lines) - 1)

    def write(self, lines: list[bytes]) -> None:
        self.path.write_bytes(b"".join(lines))

    def change(self, field: str, value: object) -> None:
        entry = json.loads(self.lines[self.at])
        assert entry[field] != value
        entry[field] = value
        self.lines[self.at] = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        self.write(self.lines)


def edit_column(log: Tampering) -> None:
    log.change(*log.chance.choice([("session_id", "other"), ("user_id", None), ("actor", "ann"), ("action", "x")]))


def edit_payload(log: Tampering) -> None:
    log.change("payload", {"n": -1, "tag": ""})


def change_time(log: Tampering) -> None:
    log.change("timestamp", "2020-01-01T00:00:00+00:00")


def change_signature(log: Tampering) -> None:
    log.change("signature", "0" * 64)


def renumber(log: Tampering) -> None:
    log.change("seq", log.at + 2)


def insert(log: Tampering) -> None:
    forged = json.loads(log.lines[log.at]) | {"payload": {"forged": True}}
    log.lines.insert(log.at, json.dumps(forged, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    log.write(log.lines)


def spell_signature_in_other_letters(log: Tampering) -> None:
    signature = json.loads(log.lines[log.at])["signature"].encode()
    log.lines[log.at] = log.lines[log.at].replace(signature, "é".encode() * 32)
    log.write(log.lines)


def corrupt(log: Tampering) -> None:
    line = bytearray(log.lines[log.at])
    line[log.chance.randrange(len(line) - 1)] ^= 1
    log.lines[log.at] = bytes(line)
    log.write(log.lines)


def blank(log: Tampering) -> None:
    log.lines[log.at] = log.lines[log.at].replace(b",", b", ", 1)
    log.write(log.lines)


def delete(log: Tampering) -> None:
    del log.lines[log.at]
    log.write(log.lines)


def swap(log: Tampering) -> None:
    other = log.chance.choice([n for n in range(len(log.lines)) if n != log.at])
    log.lines[log.at], log.lines[other] = log.lines[other], log.lines[log.at]
    log.write(log.lines)


def duplicate(log: Tampering) -> None:
    log.lines.insert(log.chance.randrange(log.at + 1, len(log.lines) + 1), log.lines[log.at])
    log.write(log.lines)


def move_from_another_chain(log: Tampering) -> None:
    other = log.path.with_name("other.jsonl").read_bytes().splitlines(keepends=True)
    log.lines[log.at] = other[log.at]
    log.write(log.lines)


def sign_with_another_key(log: Tampering) -> None:
    other = log.path.with_name("foreign.jsonl").read_bytes().splitlines(keepends=True)
    log.lines[log.at] = other[log.at]
    log.write(log.lines)


def truncate(log: Tampering) -> None:
    log.write(log.lines[: log.at])


def take_the_file_away(log: Tampering) -> None:
    log.path.unlink()


def take_the_head_away_and_truncate(log: Tampering) -> None:
    log.path.with_name(log.path.name + ".head").unlink()
    log.write(log.lines[: log.at])


FOUND_ALONE: dict[Callable[[Tampering], None], set[str]] = {
    edit_column: {"edit"},
    edit_payload: {"edit"},
    change_time: {"edit"},
    change_signature: {"edit"},
    spell_signature_in_other_letters: {"edit"},
    renumber: {"edit"},
    insert: {"edit"},
    corrupt: {"edit"},
    blank: {"edit"},
    delete: {"delete"},
    swap: {"reorder"},
    duplicate: {"duplicate"},
    move_from_another_chain: {"insert"},
    sign_with_another_key: {"edit"},
    truncate: {"truncate"},
    take_the_file_away: {"truncate"},
    take_the_head_away_and_truncate: {"truncate"},
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with a past (`old`), one of another chain with the same key, and one with another key."""
    folder = tmp_path_factory.mktemp("original")
    anyio.run(write_originals, folder)
    return folder


async def write_originals(folder: Path) -> None:
    past = await written(folder / "audit.jsonl", LENGTH // 2)
    past.close()
    shutil.copy(folder / "audit.jsonl", folder / "old")
    shutil.copy(folder / "audit.jsonl.head", folder / "old.head")
    (await written(folder / "audit.jsonl", LENGTH // 2)).close()
    (await written(folder / "other.jsonl", tag="other")).close()
    (await written(folder / "foreign.jsonl", secret="another")).close()


@pytest.mark.parametrize("tamper", FOUND_ALONE, ids=lambda tamper: tamper.__name__)
async def test_a_change_is_found_and_named_at_its_place(
    tamper: Callable[[Tampering], None], original: Path, tmp_path: Path
) -> None:
    chance = random.Random(f"{SEED} {tamper.__name__}")
    for place in range(PLACES):
        folder = tmp_path / str(place)
        shutil.copytree(original, folder)
        log = FileAuditLog(folder / "audit.jsonl", secret=SECRET)
        change = Tampering(log.path, chance)

        tamper(change)
        found = await log.verify()

        said = f"seed {SEED}, {tamper.__name__} at {change.at}: {found}"
        assert found.broken is not None, said
        assert found.broken.kind in FOUND_ALONE[tamper], said
        if tamper not in {swap, duplicate, take_the_file_away}:
            assert found.broken.position == change.at, said


def truncate_and_repair_the_head(log: Tampering) -> None:
    shutil.copy(log.path.with_name("old.head"), log.path.with_name("audit.jsonl.head"))
    log.write(log.lines[: LENGTH // 2])


def roll_back_to_a_backup(log: Tampering) -> None:
    shutil.copy(log.path.with_name("old.head"), log.path.with_name("audit.jsonl.head"))
    shutil.copy(log.path.with_name("old"), log.path)


def replace_by_another_chain(log: Tampering) -> None:
    shutil.copy(log.path.with_name("other.jsonl"), log.path)
    shutil.copy(log.path.with_name("other.jsonl.head"), log.path.with_name("audit.jsonl.head"))


def replay_an_old_head_on_half_a_log(log: Tampering) -> None:
    shutil.copy(log.path.with_name("old.head"), log.path.with_name("audit.jsonl.head"))
    log.write(log.lines[: log.chance.randrange(LENGTH // 2, LENGTH)])


def take_everything_away(log: Tampering) -> None:
    log.path.unlink()
    log.path.with_name("audit.jsonl.head").unlink()


@pytest.mark.parametrize(
    ("tamper", "kind"),
    [
        (truncate_and_repair_the_head, "truncate"),
        (roll_back_to_a_backup, "truncate"),
        (replay_an_old_head_on_half_a_log, "truncate"),
        (take_everything_away, "truncate"),
        (replace_by_another_chain, "rewrite"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
async def test_what_rolls_all_files_back_is_found_with_a_head_that_was_kept_outside(
    tamper: Callable[[Tampering], None], kind: str, original: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "log"
    shutil.copytree(original, folder)
    log = FileAuditLog(folder / "audit.jsonl", secret=SECRET)
    outside = await log.head()
    assert (await log.verify(outside)).ok
    log.close()

    tamper(Tampering(log.path, random.Random(SEED)))
    found = await FileAuditLog(log.path, secret=SECRET).verify(outside)

    assert found.broken is not None
    assert found.broken.kind == kind


@pytest.mark.parametrize("length", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55])
async def test_a_clean_log_raises_no_alarm(length: int, tmp_path: Path) -> None:
    log = await written(tmp_path / "audit.jsonl", length)

    found = await log.verify(await log.head())

    assert found.ok
    assert found.checked == found.head.seq == length


async def test_a_check_needs_no_log_only_entries_and_the_secret() -> None:
    log = InMemoryAuditLog(secret=SECRET)
    for n in range(5):
        await log.append(session_id="s", actor="a", action="x", payload={"n": n})
    entries = await log.all_entries()
    head = await log.head()

    assert verify(entries, SECRET, head)
    assert verify(entries[2:], SECRET, head, after=Head(entries[1].seq, entries[1].signature))
    assert not verify(entries, "another secret")
    assert not verify(entries[:4], SECRET, head)
    assert not verify(entries[2:], SECRET)


async def test_a_fork_with_the_right_key_is_named_an_insertion() -> None:
    log = InMemoryAuditLog(secret=SECRET)
    await log.append(session_id="s", actor="a", action="x", payload={})
    fork = InMemoryAuditLog(secret=SECRET)
    for _ in range(2):
        await fork.append(session_id="s", actor="a", action="y", payload={})

    found = verify([*await log.all_entries(), *(await fork.all_entries())[1:]], SECRET)

    assert found.broken is not None
    assert found.broken.kind == "insert"


async def test_one_entry_can_be_checked_by_its_signature() -> None:
    log = InMemoryAuditLog(secret=SECRET)
    entry = await log.append(session_id="s", actor="a", action="x", payload={"n": 1})

    assert verify_signature(entry, SECRET)
    assert verify_signature(AuditEntry.model_validate_json(entry.model_dump_json()), SECRET)
    assert not verify_signature(entry, "another")
    assert not verify_signature(entry, "")
    assert not verify_signature(entry.model_copy(update={"payload": {"n": 2}}), SECRET)
