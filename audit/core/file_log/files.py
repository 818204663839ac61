"""The files of a log, as all of its processes write them."""

from __future__ import annotations

import atexit
import fcntl
import json
import logging
import os
import secrets
import stat
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakSet

from audit.core.chain import Break, Verification, verify_links
from audit.core.entry import AuditEntry, Head, Seal, link_of_line, next_line
from audit.core.file_log.lines import entry_of, lines_of
from loom.errors import ConfigError, Conflict, LoomError
from loom.ids import canonical

logger = logging.getLogger(__name__)

_HEAD_BYTES = 512  # written in one piece, so that a crash leaves the old head or the new one
_BLOCK = 64 * 1024


class Files:
    """The files of one log, in blocking calls, for the threads of one process."""

    def __init__(self, path: Path, secret: str) -> None:
        self._path, self._name = path, str(path)
        self._seal = Seal(secret)
        self._threads = threading.Lock()
        self._lock_fd = -1
        self._fd = -1
        self._inode = (0, 0)
        self._size = -1  # of the file when `_last` was its last entry
        self._last = Head()
        self._posted: deque[dict[str, Any]] = deque()
        self.posted_until = 0.0  # when what was posted gets written, by the clock `time.monotonic`
        self.posted_on: Any = None  # the event loop that will
        self.is_stuck = False  # since the last write failed
        _all.add(self)

    # --- writing ------------------------------------------------------------------------------------------------------

    def append(self, fields: Mapping[str, Any], *, wait: bool, fsync: bool = False) -> AuditEntry | None:
        """Write the next entry. None when somebody else is writing and we were not to wait."""
        if not self._lock(wait=wait):
            return None
        try:
            self._know_secret()
            self._catch_up()
            return AuditEntry(**self._write_with_posted(fields, fsync=fsync))
        finally:
            self._unlock()

    def post(self, fields: dict[str, Any]) -> None:
        """Keep an entry until the next one is written.

        Raises right away when the log cannot be opened.
        """
        if self._lock_fd < 0:
            with self._locked():
                self._catch_up()
        self._posted.append(fields)

    def write_posted(self, *, wait: bool) -> bool:
        """Write what was posted. False when somebody else is writing and we were not to wait."""
        if not self._posted:
            return True
        if not self._lock(wait=wait):
            return False
        try:
            self._know_secret()
            self._catch_up()
            self._write_with_posted()
        finally:
            self._unlock()
        return True

    def _write_with_posted(self, *more: Mapping[str, Any], fsync: bool = False) -> dict[str, Any]:
        """Write what was posted and then some more. The fields of the last entry."""
        posted = [self._posted.popleft() for _ in range(len(self._posted))]
        before = self._last
        self.is_stuck = True
        try:
            fields = self._write([*posted, *more], fsync=fsync)
        except BaseException:
            if self._last is before:  # else they are in the log, and what failed came after
                self._posted.extendleft(reversed(posted))
            raise
        self.is_stuck = False
        return fields

    def _write(self, entries: Iterable[Mapping[str, Any]], *, fsync: bool = False) -> dict[str, Any]:
        """Write entries in one piece. The fields of the last one."""
        last, data = self._last, b""
        fields: dict[str, Any] = {}
        for said in entries:
            fields, line = next_line(last, seal=self._seal, **said)
            last = Head(fields["seq"], fields["signature"])
            data += line + b"\n"
        try:
            _write_all(self._fd, data)
        except OSError:
            os.ftruncate(self._fd, self._size)  # half a line would read as an edit
            raise
        if fsync:
            os.fsync(self._fd)
        # The head comes second: it may lag behind by a crash, it never runs ahead of the log.
        self._last = last
        self._size += len(data)
        os.pwrite(self._lock_fd, _head_bytes(last, self._seal), 0)
        if fsync:
            os.fsync(self._lock_fd)
        return fields

    def _catch_up(self) -> None:
        """Be at the end of the file that has the log's name now, whoever wrote or rotated it in the meantime."""
        inode, size = _inode_and_size(self._name)
        if self._fd < 0 or inode != self._inode:
            self._open()
            size = os.fstat(self._fd).st_size
        if size == self._size:
            return
        kept, tail = _read_head(self._lock_fd, self._seal), self._read_tail(size)
        self._size = os.fstat(self._fd).st_size
        # Missing lines are not papered over: the chain goes on after the last entry that there was.
        self._last = kept if kept and kept.seq >= tail.seq else tail
        if kept is None and size:
            self._write([{"session_id": "", "actor": "audit", "action": "log.head_missing", "payload": {}}])

    def _open(self) -> None:
        opened = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        before, self._fd = self._fd, opened  # never the number of a closed file, which another may get
        if before >= 0:
            os.close(before)
        self._inode, _ = _inode_and_size(self._fd)  # by its name, it could be another file by now
        self._size = -1

    def _read_tail(self, size: int) -> Head:
        """The last entry of the file. Half a line at the end was never acknowledged and is cut off."""
        data, start = b"", size
        while start > 0 and data.count(b"\n") < 2:
            start = max(0, start - max(_BLOCK, len(data)))
            data = os.pread(self._fd, size - start, start)
        whole, newline, torn = data.rpartition(b"\n")
        if torn:
            os.ftruncate(self._fd, size - len(torn))
        if not newline:
            return Head()
        link = link_of_line(whole.rpartition(b"\n")[2])
        if link is not None:
            return link.head
        if kept := _read_head(self._lock_fd, self._seal):
            return kept
        raise Conflict(f"{self._path} ends in a line that is no entry, and its head file is gone; move the log away")

    # --- reading ------------------------------------------------------------------------------------------------------

    def head(self) -> Head:
        with self._locked():
            self._catch_up()
            return self._last

    def verify(self, head: Head | None, after: Head | None) -> Verification:
        with self._locked():
            kept = _read_head(self._lock_fd, self._seal)
            lines = lines_of(self._path)
        heads = [known for known in (kept, head) if known]
        result = verify_links((link_of_line(line) for line in lines), self._seal, heads, after=after)
        if result.ok and kept is None and result.checked:
            broken = Break("truncate", result.checked, result.head.seq + 1, "the head file is missing or was changed")
            return Verification(result.checked, result.head, broken)
        return result

    def entries(self, wanted: Mapping[str, str]) -> Iterator[AuditEntry]:
        needles = [f'"{name}":{canonical(value)}'.encode() for name, value in wanted.items()]
        with self._locked():
            lines = lines_of(self._path)
        for line in lines:
            if not all(needle in line for needle in needles):
                continue
            entry = entry_of(line)
            if entry and all(getattr(entry, name) == value for name, value in wanted.items()):
                yield entry

    # --- the lock and the key -----------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._lock(wait=True)
        try:
            self._know_secret()
            if self._posted:  # whoever reads finds what was appended before
                self._catch_up()
                self._write_with_posted()
            yield
        finally:
            self._unlock()

    def _lock(self, *, wait: bool) -> bool:
        """From here on nobody else writes, in this process or another. False when somebody does and we do not wait."""
        if not self._threads.acquire(blocking=wait):
            return False
        try:
            self._ready()
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._threads.release()
            return False
        except BaseException:
            self._threads.release()
            raise
        return True

    def _unlock(self) -> None:
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def _ready(self) -> None:
        if self._lock_fd < 0:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            head = self._path.with_name(self._path.name + ".head")
            self._lock_fd = os.open(head, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._size = -1

    def _know_secret(self) -> None:
        if not self._seal:
            self._seal = Seal(self._read_key())

    def _read_key(self) -> str:
        path = self._path.with_name(self._path.name + ".key")
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            return self._make_key(path)
        if stat.S_IMODE(mode) & 0o077:
            raise ConfigError(f"audit log: others can read the key {path}; run chmod 600 on it, and renew it")
        if not (key := path.read_text().strip()):
            raise ConfigError(f"audit log: the key {path} is empty; restore it, or give secret=")
        return key

    def _make_key(self, path: Path) -> str:
        if os.fstat(self._lock_fd).st_size or (self._path.exists() and self._path.stat().st_size):
            raise ConfigError(f"audit log: {self._path} has entries and no key {path}; restore it, or give secret=")
        key = secrets.token_hex(32)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _write_all(fd, key.encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        return key

    def close(self) -> None:
        self.write_posted(wait=True)
        with self._threads:
            self._give_back()

    def forget_parent(self) -> None:
        """In a child of fork: files of its own, since it shares the locks of its parent; the thread that held the lock
        does not exist here; and what the parent has posted is for the parent to write.
        """
        self._threads = threading.Lock()
        self._posted.clear()
        self.posted_on = None
        self._give_back()

    def _give_back(self) -> None:
        for fd in (self._fd, self._lock_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock_fd = self._size = -1

    def __del__(self) -> None:
        if getattr(self, "_lock_fd", -1) >= 0:
            self.close()


_all: WeakSet[Files] = WeakSet()


def _forget_parent() -> None:
    for files in _all:
        files.forget_parent()


@atexit.register
def _write_what_is_left() -> None:
    for files in list(_all):
        try:
            files.write_posted(wait=True)
        except (OSError, LoomError) as error:
            logger.warning("the audit log %s cannot be written: %s", files._path, error)


os.register_at_fork(after_in_child=_forget_parent)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _inode_and_size(path: str | int) -> tuple[tuple[int, int], int]:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return (0, 0), 0
    return (found.st_dev, found.st_ino), found.st_size


def _head_bytes(head: Head, seal: Seal) -> bytes:
    content = f'{{"seq":{head.seq},"signature":"{head.signature}"}}'
    return f"{content} {seal.sign(content.encode())}".ljust(_HEAD_BYTES - 1).encode() + b"\n"


def _read_head(fd: int, seal: Seal) -> Head | None:
    """The head beside the log, or None when there is none or it was changed."""
    content, _, mac = os.pread(fd, _HEAD_BYTES, 0).strip().rpartition(b" ")
    if not content or not seal.has_signed(content, mac.decode(errors="replace")):
        return None
    return Head(**json.loads(content))
