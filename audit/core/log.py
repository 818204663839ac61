"""Where entries are kept: the protocol, the log in memory, and what makes a log of a word.

Every log here takes secrets out of a payload and brings it to JSON form before anything is written. A payload that
cannot be read is described; it never ends a run.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from audit.core.chain import Verification, verify
from audit.core.entry import AuditEntry, Head, Seal, next_entry
from audit.core.file_log import FileAuditLog
from audit.core.redaction import Redactor
from loom.legacy import takes, warn_legacy_protocol


@runtime_checkable
class AuditLog(Protocol):
    """A list of entries that only grows."""

    async def append(
        self, *, session_id: str, actor: str, action: str, payload: dict[str, Any], user_id: str | None = None
    ) -> AuditEntry: ...

    async def query(
        self, *, session_id: str | None = None, action: str | None = None, user_id: str | None = None
    ) -> list[AuditEntry]: ...


AuditLogSpec = AuditLog | str | Path | Mapping[str, Any] | None


class InMemoryAuditLog:
    """A log that ends with the process. Without a secret it makes one up, which only itself can verify with."""

    def __init__(self, *, secret: str = "", redactor: Redactor | None = None) -> None:
        self._secret = secret or secrets.token_hex(32)
        self._seal = Seal(self._secret)
        self._redactor = redactor or Redactor()
        self._entries: list[AuditEntry] = []
        self._head = Head()

    async def append(
        self, *, session_id: str, actor: str, action: str, payload: dict[str, Any], user_id: str | None = None
    ) -> AuditEntry:
        entry, _ = next_entry(
            self._head,
            seal=self._seal,
            session_id=session_id,
            actor=actor,
            action=action,
            payload=self._redactor.payload(payload),
            user_id=user_id,
        )
        self._entries.append(entry)
        self._head = Head(entry.seq, entry.signature)
        return entry

    async def query(
        self, *, session_id: str | None = None, action: str | None = None, user_id: str | None = None
    ) -> list[AuditEntry]:
        """Entries in their order. What is not given does not filter, `user_id=None` included."""
        return [
            entry
            for entry in self._entries
            if (session_id is None or entry.session_id == session_id)
            and (action is None or entry.action == action)
            and (user_id is None or entry.user_id == user_id)
        ]

    async def all_entries(self) -> list[AuditEntry]:
        return list(self._entries)

    async def head(self) -> Head:
        """The end of the chain, to be kept elsewhere."""
        return self._head

    async def verify(self, head: Head | None = None) -> Verification:
        """Whether the log is as it was written."""
        return verify(self._entries, self._secret, head)


class FullTranscriptAuditLog:
    """A log that asks for everything: whole prompts, outputs and tool results. Secrets are still taken out."""

    full_transcripts: bool = True

    def __init__(self, inner: AuditLog) -> None:
        self._inner = inner

    @property
    def inner(self) -> AuditLog:
        return self._inner

    async def append(
        self, *, session_id: str, actor: str, action: str, payload: dict[str, Any], user_id: str | None = None
    ) -> AuditEntry:
        return await self._inner.append(
            session_id=session_id, actor=actor, action=action, payload=payload, user_id=user_id
        )

    async def append_soon(self, **entry: Any) -> None:
        await append_soon(self._inner, **entry)

    async def query(
        self, *, session_id: str | None = None, action: str | None = None, user_id: str | None = None
    ) -> list[AuditEntry]:
        return await self._inner.query(session_id=session_id, action=action, user_id=user_id)

    async def all_entries(self) -> list[AuditEntry]:
        return await self._inner.query()


class RedactedAuditLog:
    """Somebody else's log, or one with more secrets to hide: payloads are cleaned before they reach it."""

    def __init__(self, inner: AuditLog, redactor: Redactor | None = None) -> None:
        self._inner: Any = inner
        self._redactor = redactor or Redactor()
        self._tells_user = takes(inner.append, "user_id")
        self._asks_user = takes(inner.query, "user_id")
        if not self._tells_user:
            warn_legacy_protocol("AuditLog", "append")

    @property
    def inner(self) -> AuditLog:
        log: AuditLog = self._inner
        return log

    @property
    def full_transcripts(self) -> bool:
        return wants_full_transcripts(self._inner)

    async def append(
        self, *, session_id: str, actor: str, action: str, payload: dict[str, Any], user_id: str | None = None
    ) -> AuditEntry:
        user = {"user_id": user_id} if self._tells_user else {}
        entry: AuditEntry = await self._inner.append(
            session_id=session_id, actor=actor, action=action, payload=self._redactor.payload(payload), **user
        )
        return entry

    async def append_soon(self, *, payload: dict[str, Any], user_id: str | None = None, **entry: Any) -> None:
        user = {"user_id": user_id} if self._tells_user else {}
        await append_soon(self._inner, payload=self._redactor.payload(payload), **user, **entry)

    async def query(
        self, *, session_id: str | None = None, action: str | None = None, user_id: str | None = None
    ) -> list[AuditEntry]:
        user = {"user_id": user_id} if self._asks_user else {}
        found: list[AuditEntry] = await self._inner.query(session_id=session_id, action=action, **user)
        return [entry for entry in found if user_id is None or entry.user_id == user_id]


async def append_soon(log: AuditLog, **entry: Any) -> None:
    """Append an entry that nothing waits for; a log that can gathers it with the next ones. Order is kept."""
    soon: Callable[..., Awaitable[object]] = getattr(log, "append_soon", log.append)
    await soon(**entry)


def wants_full_transcripts(log: object) -> bool:
    """Whether a log asks for whole prompts, outputs and tool results. None does not."""
    return bool(getattr(log, "full_transcripts", False))


async def stream_entries(log: AuditLog) -> AsyncIterator[AuditEntry]:
    """All entries of a log, in their order."""
    for entry in await log.query():
        yield entry


def resolve_audit_log(spec: AuditLogSpec, *, redactor: Redactor | None = None) -> AuditLog | None:
    """A log of a path, a mapping (`name`, `scope_full`, `secret`, `fsync`) or an instance.

    Raises TypeError for anything else. A mapping without a name is a log in memory. A log that is not ours gets clean
    payloads, by a wrapper.
    """
    if spec is None:
        return None
    if isinstance(spec, str | Path):
        return FileAuditLog(spec, redactor=redactor)
    if isinstance(spec, Mapping):
        return _from_mapping(spec, redactor)
    if isinstance(spec, type) or not isinstance(spec, AuditLog):
        raise TypeError(f"audit_log: {spec!r} is no path, mapping or object with append() and query()")
    ours = isinstance(spec, InMemoryAuditLog | FileAuditLog | FullTranscriptAuditLog | RedactedAuditLog)
    return spec if ours and redactor is None else RedactedAuditLog(spec, redactor)


def _from_mapping(spec: Mapping[str, Any], redactor: Redactor | None) -> AuditLog:
    if unknown := sorted(set(spec) - {"name", "scope_full", "secret", "fsync"}):
        raise TypeError(f"audit_log: unknown keys {', '.join(unknown)}; there are name, scope_full, secret, fsync")
    secret = spec.get("secret") or ""
    log: AuditLog
    if spec.get("name"):
        log = FileAuditLog(spec["name"], secret=secret, fsync=bool(spec.get("fsync")), redactor=redactor)
    else:
        log = InMemoryAuditLog(secret=secret, redactor=redactor)
    return FullTranscriptAuditLog(log) if spec.get("scope_full") else log
