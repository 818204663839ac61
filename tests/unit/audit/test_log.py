"""What makes a log of a word, and which logs want everything."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from audit.core.entry import AuditEntry
from audit.core.file_log import FileAuditLog
from audit.core.log import (
    FullTranscriptAuditLog,
    InMemoryAuditLog,
    RedactedAuditLog,
    resolve_audit_log,
    wants_full_transcripts,
)
from audit.core.redaction import Redactor
from loom.context import LoomDeprecationWarning
from loom.messages import utcnow


def test_a_log_is_made_of_a_path_a_mapping_or_an_instance(tmp_path: Path) -> None:
    memory = InMemoryAuditLog()

    assert resolve_audit_log(None) is None
    assert isinstance(resolve_audit_log(str(tmp_path / "a.jsonl")), FileAuditLog)
    assert isinstance(resolve_audit_log(tmp_path / "a.jsonl"), FileAuditLog)
    assert isinstance(resolve_audit_log({}), InMemoryAuditLog)
    assert isinstance(resolve_audit_log({"name": str(tmp_path / "a.jsonl"), "secret": "k"}), FileAuditLog)
    full = resolve_audit_log({"scope_full": True})
    assert isinstance(full, FullTranscriptAuditLog)
    assert wants_full_transcripts(full)
    assert resolve_audit_log(memory) is memory
    assert not wants_full_transcripts(memory)


async def test_with_fsync_an_entry_is_on_disk_when_it_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
    path = tmp_path / "a.jsonl"
    log = resolve_audit_log({"name": str(path), "secret": "k", "fsync": True})
    assert log is not None

    await log.append(session_id="s", actor="user", action="x", payload={})

    assert synced == [path.stat().st_ino, path.with_name("a.jsonl.head").stat().st_ino]


@pytest.mark.parametrize("spec", [7, {"path": "a"}, InMemoryAuditLog, object()])
def test_what_is_no_log_is_refused(spec: Any) -> None:
    with pytest.raises(TypeError, match="audit_log"):
        resolve_audit_log(spec)


class Foreign:
    """A log of the older protocol: it is not told the user."""

    full_transcripts = True

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []

    async def append(self, *, session_id: str, actor: str, action: str, payload: dict[str, Any]) -> AuditEntry:
        entry = AuditEntry(
            seq=1, timestamp=utcnow(), session_id=session_id, actor=actor, action=action, payload=payload, signature=""
        )
        self.entries.append(entry)
        return entry

    async def query(self, *, session_id: str | None = None, action: str | None = None) -> list[AuditEntry]:
        return self.entries


async def test_a_foreign_log_gets_clean_payloads_and_is_called_once() -> None:
    foreign = Foreign()
    with pytest.warns(LoomDeprecationWarning, match=r"AuditLog\.append"):
        log = resolve_audit_log(foreign)  # type: ignore[arg-type]
    assert log is not None

    await log.append(session_id="s", actor="a", action="x", payload={"token": "abc"}, user_id="ann")

    assert [entry.payload for entry in foreign.entries] == [{"token": "[REDACTED]"}]
    assert wants_full_transcripts(log)
    assert await log.query(user_id="ann") == []


async def test_a_type_error_inside_a_foreign_log_does_not_make_it_write_again_without_the_user() -> None:
    users: list[str | None] = []

    class Broken(InMemoryAuditLog):
        async def append(self, *, user_id: str | None = None, **entry: Any) -> AuditEntry:
            users.append(user_id)
            raise TypeError("a bug")

    log = RedactedAuditLog(Broken())

    with pytest.raises(TypeError, match="a bug"):
        await log.append(session_id="s", actor="a", action="x", payload={}, user_id="ann")
    assert users == ["ann"]


async def test_more_secrets_can_be_named_than_a_log_knows_by_itself() -> None:
    inner = InMemoryAuditLog()
    log = resolve_audit_log(inner, redactor=Redactor(["correct horse"]))
    assert isinstance(log, RedactedAuditLog)

    await log.append(session_id="s", actor="a", action="x", payload={"said": "correct horse battery"})

    assert (await inner.all_entries())[0].payload == {"said": "[REDACTED] battery"}


async def test_two_logs_in_memory_do_not_share_a_secret() -> None:
    one, other = InMemoryAuditLog(), InMemoryAuditLog()
    await one.append(session_id="s", actor="a", action="x", payload={})

    assert await one.verify()
    other._entries = await one.all_entries()
    assert not await other.verify()
