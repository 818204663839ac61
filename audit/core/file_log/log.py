"""The log itself: what gathers, what waits, and what is read of it."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from anyio import to_thread

from audit.core.canonical import plain
from audit.core.chain import Verification
from audit.core.entry import AuditEntry, Head
from audit.core.file_log.files import Files
from audit.core.redaction import Redactor
from loom import background
from loom.errors import LoomError
from loom.messages import utcnow

logger = logging.getLogger(__name__)

_LINGER_SECONDS = 0.002  # what nobody waits for may be lost in a crash for as long


class FileAuditLog:
    """Entries as JSON lines, chained across processes and restarts.

    The file is opened at the first use and kept open; a file that was rotated away is noticed and the chain goes on in
    the new one. Rotated files (`audit.jsonl.1`, `audit.jsonl-20261123.gz`) are still read. `fsync=True` returns from
    `append` only when the entry is on the disk. Opening and appending cost the same however long the log is; `query`
    and `verify` read all of it.

    What nobody waits for (`append_soon`) gathers for 2 ms, and is written at once with the next entry that somebody
    does wait for; at the latest when the interpreter exits.

    Without a secret one is made and kept in `<path>.key`. Raises ConfigError when that file is gone while the log is
    not, or when others can read it.
    """

    def __init__(
        self, path: str | Path, *, secret: str = "", fsync: bool = False, redactor: Redactor | None = None
    ) -> None:
        self._path = Path(path)
        self._redactor = redactor or Redactor()
        self._fsync = fsync
        self._files = Files(self._path, secret)
        # A log that was made of this one by another `append` has to see every entry.
        self._gathers = not fsync and type(self).append is FileAuditLog.append

    @property
    def path(self) -> Path:
        return self._path

    async def append(
        self, *, session_id: str, actor: str, action: str, payload: dict[str, Any], user_id: str | None = None
    ) -> AuditEntry:
        fields = self._said(session_id, actor, action, payload, user_id)
        # A thread costs more than a write to the page cache; it is worth it where the write waits.
        entry = None if self._fsync else self._files.append(fields, wait=False)
        if entry is None:
            entry = await to_thread.run_sync(lambda: self._files.append(fields, wait=True, fsync=self._fsync))
        assert entry is not None
        return entry

    async def append_soon(
        self, *, session_id: str, actor: str, action: str, payload: dict[str, Any], user_id: str | None = None
    ) -> None:
        """Append an entry that nobody waits for. With `fsync`, and after a write that failed, it is waited for."""
        if not self._gathers or self._files.is_stuck:
            await self.append(session_id=session_id, actor=actor, action=action, payload=payload, user_id=user_id)
            return
        self._files.post(self._said(session_id, actor, action, payload, user_id))
        if time.monotonic() >= self._files.posted_until or self._files.posted_on is not background.this_loop():
            self._write_later()

    def _said(
        self, session_id: str, actor: str, action: str, payload: dict[str, Any], user_id: str | None
    ) -> dict[str, Any]:
        for text in (session_id, actor, action, "" if user_id is None else user_id):
            if not isinstance(text, str):  # found when it is written, it would hold up the entries of others
                raise TypeError(f"audit log: session_id, actor, action and user_id are texts, not {text!r}")
        return {
            "session_id": session_id,
            "actor": actor,
            "action": action,
            "payload": self._redactor.payload(payload),
            "user_id": user_id,
            "at": utcnow(),
        }

    def _write_later(self) -> None:
        self._files.posted_until = time.monotonic() + _LINGER_SECONDS
        self._files.posted_on = background.this_loop()
        background.later(_LINGER_SECONDS, self._write_posted)

    def _write_posted(self) -> None:
        self._files.posted_on = None  # first, so that whoever posts in another thread meanwhile sees to it himself
        try:
            if not self._files.write_posted(wait=False):
                self._write_later()
        except (OSError, LoomError) as error:  # they are kept, and whoever appends the next entry is told
            self._files.is_stuck = True
            logger.warning("the audit log %s cannot be written: %s", self._path, error)

    async def query(
        self, *, session_id: str | None = None, action: str | None = None, user_id: str | None = None
    ) -> list[AuditEntry]:
        """Entries in their order. What is not given does not filter, `user_id=None` included."""
        filters = {"session_id": session_id, "action": action, "user_id": user_id}
        wanted = {name: plain(value) for name, value in filters.items() if value is not None}
        return await to_thread.run_sync(lambda: list(self._files.entries(wanted)))

    async def all_entries(self) -> list[AuditEntry]:
        return await self.query()

    async def head(self) -> Head:
        """The end of the chain, to be kept elsewhere."""
        return await to_thread.run_sync(self._files.head)

    async def verify(self, head: Head | None = None, *, after: Head | None = None) -> Verification:
        """Whether the log is as it was written, rotated files included.

        `head` is one that was kept elsewhere. `after` is the last entry before the ones that are still there, when
        the oldest files were removed on purpose.
        """
        return await to_thread.run_sync(lambda: self._files.verify(head, after))

    def close(self) -> None:
        """Give the files back. The next append opens them again."""
        self._files.close()
