"""What every audit log promises."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from audit.core.chain import verify
from audit.core.entry import verify_signature
from audit.core.file_log import FileAuditLog
from audit.core.log import (
    AuditLog,
    FullTranscriptAuditLog,
    InMemoryAuditLog,
    RedactedAuditLog,
    append_soon,
    stream_entries,
)

SECRET = "a secret of the tests"

MAKERS: dict[str, Callable[[Path], AuditLog]] = {
    "memory": lambda folder: InMemoryAuditLog(secret=SECRET),
    "file": lambda folder: FileAuditLog(folder / "audit.jsonl", secret=SECRET),
    "file with fsync": lambda folder: FileAuditLog(folder / "audit.jsonl", secret=SECRET, fsync=True),
    "full transcripts": lambda folder: FullTranscriptAuditLog(FileAuditLog(folder / "audit.jsonl", secret=SECRET)),
    "redacted": lambda folder: RedactedAuditLog(InMemoryAuditLog(secret=SECRET)),
}


@pytest.fixture(params=MAKERS)
def log(request: pytest.FixtureRequest, tmp_path: Path) -> AuditLog:
    return MAKERS[request.param](tmp_path)


async def test_entries_are_numbered_from_one_and_signed(log: AuditLog) -> None:
    for action in ("run_started", "tool_call", "run_completed"):
        await log.append(session_id="s", actor="system", action=action, payload={"a": 1}, user_id="ann")

    entries = await log.query()

    assert [(entry.seq, entry.action) for entry in entries] == [
        (1, "run_started"),
        (2, "tool_call"),
        (3, "run_completed"),
    ]
    assert all(verify_signature(entry, SECRET) for entry in entries)
    assert verify(entries, SECRET)


async def test_entries_that_nobody_waits_for_keep_their_place(log: AuditLog) -> None:
    for number in range(6):
        add = append_soon if number % 3 else type(log).append
        await add(log, session_id="s", actor="system", action="x", payload={"n": number}, user_id="ann")

    entries = await log.query(user_id="ann")

    assert [(entry.seq, entry.payload["n"]) for entry in entries] == [(n + 1, n) for n in range(6)]
    assert verify(entries, SECRET)


async def test_append_answers_with_the_entry_that_is_read_later(log: AuditLog) -> None:
    entry = await log.append(session_id="s", actor="ann", action="x", payload={"n": [1, {"deep": None}]}, user_id=None)

    assert await log.query() == [entry]
    assert entry.timestamp.utcoffset() == timedelta(0)


async def test_a_query_filters_by_session_action_and_user(log: AuditLog) -> None:
    for session, action, user in (("s1", "x", "ann"), ("s1", "y", "ben"), ("s2", "x", None), ("s2", 'q"', "ann")):
        await log.append(session_id=session, actor="a", action=action, payload={"user_id": "ben"}, user_id=user)

    async def found(**wanted: Any) -> list[int]:
        return [entry.seq for entry in await log.query(**wanted)]

    assert await found(session_id="s1") == [1, 2]
    assert await found(action="x") == [1, 3]
    assert await found(user_id="ben") == [2]
    assert await found(session_id="s2", user_id="ann") == [4]
    assert await found(action='q"') == [4]
    assert await found(user_id="nobody") == []
    assert [entry.seq async for entry in stream_entries(log)] == [1, 2, 3, 4]


async def test_payloads_that_json_does_not_know_raise_no_false_alarm(log: AuditLog) -> None:
    payload = {
        "at": datetime.now(UTC),
        "raw": b"\x00\xff",
        "tags": {"b", "a"},
        "ratio": float("inf"),
        "missing": float("nan"),
        "took": timedelta(seconds=1.5),
        "price": Decimal("0.10"),
        "odd": object(),
        "text": "a\0b\ud800",
        7: "number",
    }

    await log.append(session_id="s", actor="a", action="x", payload=payload)  # type: ignore[arg-type]

    (entry,) = await log.query()
    assert verify_signature(entry, SECRET)
    assert verify([entry], SECRET)
    assert entry.payload["ratio"] == "inf"


async def test_a_payload_that_cannot_be_read_does_not_end_the_run(log: AuditLog) -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    loop: dict[str, Any] = {}
    loop["loop"] = loop

    await log.append(session_id="s", actor="a", action="x", payload={"it": Hostile(), "loop": loop})

    assert verify(await log.query(), SECRET)


async def test_secrets_are_taken_out_before_anything_is_written(log: AuditLog) -> None:
    payload = {"args": {"command": "my key is sk-abcdefCANARY0123456789", "password": "CANARYpw"}}

    entry = await log.append(session_id="s", actor="a", action="x", payload=payload)

    assert "CANARY" not in entry.model_dump_json()
    assert "CANARY" not in "".join(found.model_dump_json() for found in await log.query())


async def test_concurrent_appends_make_one_chain(log: AuditLog) -> None:
    async def write(n: int) -> None:
        await log.append(session_id=f"s{n}", actor="a", action="x", payload={"n": n})

    async with anyio.create_task_group() as group:
        for n in range(50):
            group.start_soon(write, n)

    entries = await log.query()
    assert verify(entries, SECRET)
    assert sorted(entry.payload["n"] for entry in entries) == list(range(50))


async def test_a_caller_cannot_change_an_entry_afterwards(log: AuditLog) -> None:
    payload = {"list": [1]}
    await log.append(session_id="s", actor="a", action="x", payload=payload)

    payload["list"].append(2)

    assert (await log.query())[0].payload == {"list": [1]}
