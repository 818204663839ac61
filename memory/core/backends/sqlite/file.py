"""The file: one connection on a thread, one transaction for each piece of work."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from loom.errors import MemoryStoreError
from memory.core.history import Range
from memory.core.values import as_utc

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

VERSION = 1
_PATIENCE_SECONDS = 30  # for another process that writes
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

# An owner is a user of this memory, or nobody. `at` is in microseconds; a `place` says what came first.
_SCHEMA = """
CREATE TABLE owner (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    episodes INTEGER NOT NULL DEFAULT 0,
    words INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE episode (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    owner INTEGER NOT NULL,
    id TEXT NOT NULL,
    session TEXT NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL,
    vector BLOB,
    UNIQUE (owner, id)
);
CREATE INDEX episode_at ON episode (owner, at, place);
CREATE INDEX episode_session ON episode (owner, session, at, place);
CREATE TABLE word (
    owner INTEGER NOT NULL,
    word TEXT NOT NULL,
    at INTEGER NOT NULL,
    place INTEGER NOT NULL,
    times INTEGER NOT NULL,
    length INTEGER NOT NULL,
    PRIMARY KEY (owner, word, at, place)
) WITHOUT ROWID;
CREATE TABLE block (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    owner INTEGER NOT NULL,
    name TEXT NOT NULL,
    content TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    pinned_order INTEGER NOT NULL DEFAULT 0,
    UNIQUE (owner, name)
);
CREATE TABLE fact (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    owner INTEGER NOT NULL,
    id TEXT NOT NULL,
    subject TEXT NOT NULL,
    predicate TEXT NOT NULL,
    object TEXT NOT NULL,
    valid_from INTEGER NOT NULL,
    valid_until INTEGER,
    recorded_at INTEGER NOT NULL,
    body TEXT NOT NULL,
    vector BLOB,
    UNIQUE (owner, id)
);
CREATE INDEX fact_about ON fact (owner, subject, predicate, valid_from);
CREATE INDEX fact_recorded ON fact (owner, recorded_at);
"""


class SqliteFile:
    """A memory's file, made at first use. Several processes may share it; one of them writes at a time.

    What has been written survives a crash of the process and of the machine. What has been erased is overwritten.
    `aclose` lets go of the file; the next use opens it again.
    """

    _connection: sqlite3.Connection | None = None  # also before __init__ is done

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._turn = threading.Lock()  # one connection, and one thread at a time on it
        # One thread of an event loop is ours, so that tools which block all the others cannot hold up memory.
        self._thread: RunVar[anyio.CapacityLimiter] = RunVar("loom_memory_thread")

    async def read(self, work: Work[T]) -> T:
        """Work on one state of the file, whatever others write meanwhile. Raises MemoryStoreError."""
        return await self._unit(work, "BEGIN")

    async def write(self, work: Work[T]) -> T:
        """All of the work or, when it fails, none of it. Raises MemoryStoreError."""
        return await self._unit(work, "BEGIN IMMEDIATE")

    async def erase(self, work: Work[T]) -> T:
        """Like `write`; then what is gone is not in the log of changes any more either, unless somebody reads it."""
        done = await self.write(work)
        await self._on_thread(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
        return done

    async def aclose(self) -> None:
        await anyio.to_thread.run_sync(self._close, limiter=self._limiter())

    def __del__(self) -> None:
        # Agents are dropped, not closed, and from Python 3.13 on SQLite warns of connections that were left open.
        if self._connection is not None:
            self._connection.close()

    async def _unit(self, work: Work[T], begin: str) -> T:
        def unit(connection: sqlite3.Connection) -> T:
            connection.execute(begin)
            try:
                done = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return done

        return await self._on_thread(unit)

    async def _on_thread(self, work: Work[T]) -> T:
        def on_thread() -> T:
            with self._turn:
                return work(self._connected())

        try:
            return await anyio.to_thread.run_sync(on_thread, limiter=self._limiter())
        except (sqlite3.Error, OSError) as error:
            raise MemoryStoreError(f"the memory {self.path} cannot be used: {error}", path=str(self.path)) from error

    def _limiter(self) -> anyio.CapacityLimiter:
        limiter = self._thread.get(None)
        if limiter is None:
            limiter = anyio.CapacityLimiter(1)
            self._thread.set(limiter)
        return limiter

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self.path, timeout=_PATIENCE_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        _patiently(lambda: connection.execute("PRAGMA journal_mode=WAL"))
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={VERSION}")
        connection.execute("COMMIT")
        if version > VERSION:
            raise MemoryStoreError(
                f"the memory {self.path} is of version {version}, newer than this Loom's {VERSION}: update Loom",
                path=str(self.path),
            )

    def _close(self) -> None:
        with self._turn:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def owner_of(connection: sqlite3.Connection, user_id: str | None, *, create: bool = False) -> int | None:
    """The number of a user, or of nobody; None when nothing was ever kept for them."""
    name = "" if user_id is None else f"user:{user_id}"
    if create:
        connection.execute("INSERT INTO owner (name) VALUES (?) ON CONFLICT DO NOTHING", (name,))
    row = connection.execute("SELECT id FROM owner WHERE name = ?", (name,)).fetchone()
    return None if row is None else int(row[0])


def drop_if_empty(connection: sqlite3.Connection, owner: int | None) -> None:
    """Forget the name of an owner for whom nothing is kept any more."""
    connection.execute(
        "DELETE FROM owner WHERE id = ? AND episodes = 0"
        " AND NOT EXISTS (SELECT 1 FROM block WHERE block.owner = owner.id)"
        " AND NOT EXISTS (SELECT 1 FROM fact WHERE fact.owner = owner.id)",
        (owner,),
    )


def has_named_owners(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM owner WHERE name > '' LIMIT 1").fetchone() is not None


def instant(moment: datetime) -> int:
    return (as_utc(moment) - _BEGINNING) // timedelta(microseconds=1)


def moment(instant: int) -> datetime:
    return _BEGINNING + timedelta(microseconds=instant)


def span(time_range: Range | None) -> tuple[int, int]:
    return (-(2**63), 2**63 - 1) if time_range is None else (instant(time_range[0]), instant(time_range[1]))


def _patiently(work: Callable[[], object]) -> None:
    # SQLite does not wait by itself when two processes turn a new file to its log of changes at once.
    until = monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            work()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or monotonic() > until:
                raise
            sleep(0.01)
        else:
            return
