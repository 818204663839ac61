"""Journals in a SQLite file: for programs of one machine, with nothing to install."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from pydantic_core import to_json

from agents.core.runtime.blobs import WITH_BLOBS, pack
from agents.core.runtime.journaled import JournaledRuntime
from agents.core.runtime.store import (
    EVERYONE,
    Everyone,
    JournaledRun,
    JournalStore,
    Row,
    check_open,
    read_record,
)
from agents.core.runtime.writer import Append, Done
from agents.core.runtime.written import written
from agents.core.threads import OwnThread, is_alone, outcome_of
from loom import background
from loom.errors import RuntimeJournalError, Unavailable

logger = logging.getLogger(__name__)

DEFAULT_PATH = "loom-runtime.db"
_PATIENCE_SECONDS = 30  # for another process that writes
_ALONE_SECONDS, _COMPANY_SECONDS = 0.01, 1.0  # before somebody who was alone, or not, looks around again
_SYNC_SECONDS = 0.05  # that a power cut may take of what no run waits for
# Each commit writes whole pages, and most records are small. The log grows to the usual 4 MiB all the same.
_PAGE_BYTES, _LOG_PAGES = 2048, 2000
T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS loom_run (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    user_id TEXT,
    session_id TEXT NOT NULL,
    input TEXT NOT NULL,
    resumable INTEGER NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    ended INTEGER NOT NULL DEFAULT 0,
    started_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS loom_run_session ON loom_run (session_id, place);
CREATE INDEX IF NOT EXISTS loom_run_unfinished ON loom_run (place) WHERE resumable AND NOT ended;
CREATE TABLE IF NOT EXISTS loom_journal (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    step_key TEXT NOT NULL,
    data TEXT NOT NULL,
    at REAL NOT NULL,
    version INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS loom_journal_run ON loom_journal (run_id, place);
CREATE TABLE IF NOT EXISTS loom_blob (
    run_id TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (run_id, sha256)
) WITHOUT ROWID;
"""
_UNFINISHED = """
SELECT id, user_id, session_id, input, resumable FROM loom_run AS run
WHERE resumable AND NOT ended
  AND (:everyone OR user_id IS :user_id) AND (:session_id IS NULL OR session_id = :session_id)
  AND NOT EXISTS (
    SELECT 1 FROM loom_run AS later
    WHERE later.session_id = run.session_id AND later.user_id IS run.user_id
      AND later.resumable AND later.place > run.place)
ORDER BY place
"""


class SqliteJournalStore(JournalStore):
    """Journals in one file, made at first use. Several processes may share it; one of them writes at a time.

    What has been written survives a crash of the process. It also survives one of the machine, save for what ended a
    run: that does within 50 ms. `aclose` lets go of the file; the next use opens it again.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        # One thread is ours, whatever event loop asks; tools that block all others cannot hold up the journal.
        # Whoever is alone on his event loop takes his turn with the connection himself.
        self._thread: OwnThread | None = None
        self._connection: sqlite3.Connection | None = None
        self._level = ""  # at which the connection waits for the disk
        self._turn = Lock()
        self._pid = 0  # of the process that all of these are for
        self._alone, self._looks_again_at = False, 0.0
        self._log, self._is_synced, self._syncs_at = "", True, 0.0

    @property
    def path(self) -> Path:
        return self._path

    async def open(self, run: JournaledRun) -> int:
        # A run that has done nothing yet does not wait for the disk: the first step that does takes it along.
        return await self._unit(lambda connection: _open(connection, run), on_disk=False)

    async def append(self, appends: Sequence[Append[str]]) -> AbstractSet[str]:
        return await self._unit(partial(_append, appends))

    def submit(self, runs: Sequence[JournaledRun], appends: Sequence[Append[str]], done: Done[str]) -> None:
        on_disk = _go_on(appends)
        work = partial(self._transact, partial(_begin, runs, appends), on_disk=on_disk)
        thread = self._own_thread()
        if not on_disk:
            self._sync_later()
        if not self._is_alone():
            thread.hand(work, done)
            return
        held, failure = outcome_of(work)
        done(held, failure)
        if failure is not None and not isinstance(failure, Exception):  # Ctrl-C
            raise failure

    async def read(self, run_id: str, step_name: str | None = None) -> list[Row]:
        return await self._unit(lambda connection: _read(connection, run_id, step_name))

    async def unfinished(
        self, *, user_id: str | Everyone | None = EVERYONE, session_id: str | None = None
    ) -> list[JournaledRun]:
        everyone = user_id is EVERYONE
        asked = {"everyone": everyone, "user_id": None if everyone else user_id, "session_id": session_id}
        return await self._unit(lambda connection: [_run(row) for row in connection.execute(_UNFINISHED, asked)])

    async def forget(self, user_id: str | None, session_id: str | None = None) -> int:
        return await self._unit(lambda connection: _forget(connection, user_id, session_id))

    async def aclose(self) -> None:
        await self._own_thread().do(self._close)

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _is_alone(self) -> bool:
        """Whether nobody here could do anything meanwhile: a walk to the thread takes as long as a commit."""
        now = time.monotonic()
        if now >= self._looks_again_at:
            self._alone = is_alone()
            self._looks_again_at = now + (_ALONE_SECONDS if self._alone else _COMPANY_SECONDS)
        return self._alone

    async def _unit(self, work: Callable[[sqlite3.Connection], T], *, on_disk: bool = True) -> T:
        return await self._own_thread().do(partial(self._transact, work, on_disk=on_disk))

    def _transact(self, work: Callable[[sqlite3.Connection], T], *, on_disk: bool) -> T:
        """One transaction; `on_disk` is whether it must survive a crash of the machine right away.

        Raises Unavailable when the file cannot be used.
        """
        try:
            with self._turn:
                connection = self._connected()
                self._sync(connection, "FULL" if on_disk else "NORMAL")
                connection.execute("BEGIN IMMEDIATE")
                before = connection.total_changes
                try:
                    came_to = work(connection)
                    connection.execute("COMMIT")
                    if connection.total_changes != before:
                        self._is_synced = on_disk
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
                return came_to
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(f"the journal {self._path} cannot be used: {error}", path=str(self._path)) from error

    def _sync(self, connection: sqlite3.Connection, level: str) -> None:
        if level != self._level:
            connection.execute(f"PRAGMA synchronous={level}")
            self._level = level

    def _sync_later(self) -> None:
        """Have the disk hear of what was committed without waiting for it."""
        now = time.monotonic()
        if now >= self._syncs_at:
            self._syncs_at = now + _SYNC_SECONDS
            background.later(_SYNC_SECONDS, lambda: self._own_thread().hand(self._sync_log, _told))

    def _sync_log(self) -> None:
        if self._is_synced:
            return
        self._is_synced = True
        with suppress(FileNotFoundError):  # all of it has moved to the file itself, and is on disk there
            log = os.open(self._log, os.O_RDONLY)
            try:
                os.fsync(log)
            finally:
                os.close(log)

    def _own_thread(self) -> OwnThread:
        if self._pid != os.getpid():  # a child of fork has no thread, and must not touch its parent's connection
            _inherited.append(self._connection)
            self._pid, self._thread, self._connection, self._turn = os.getpid(), None, None, Lock()
        if self._thread is None:
            self._thread = OwnThread("loom-journal")
        return self._thread

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self._path, timeout=_PATIENCE_SECONDS, isolation_level=None, check_same_thread=False
            )
            connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")  # of a file that is made now
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")
            connection.executescript(_SCHEMA)
            self._connection, self._level = connection, ""
            self._log = f"{os.path.realpath(self._path)}-wal"  # where SQLite keeps it, also after a chdir
        return self._connection

    def _close(self) -> None:
        with self._turn:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


_inherited: list[sqlite3.Connection | None] = []  # not even to be closed


class SqliteRuntime(JournaledRuntime):
    """A runtime that remembers in a SQLite file."""

    name = "sqlite"

    def __init__(self, path: str | Path = DEFAULT_PATH) -> None:
        super().__init__(SqliteJournalStore(path))
        self._path = Path(path)

    @property
    def path(self) -> Path:
        return self._path


def _insert(connection: sqlite3.Connection, run: JournaledRun, *, attempt: int, ended: bool = False) -> bool:
    """Write a run down, unless there is one of this id."""
    text = to_json(written(run.input)).decode()
    row = (run.id, run.user_id, run.session_id, text, run.resumable, attempt, ended, time.time())
    done = connection.execute(
        "INSERT INTO loom_run (id, user_id, session_id, input, resumable, attempt, ended, started_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
        row,
    )
    return bool(done.rowcount)


def _open(connection: sqlite3.Connection, run: JournaledRun) -> int:
    _insert(connection, run, attempt=0)
    *columns, ended, attempt = connection.execute(
        "UPDATE loom_run SET attempt = attempt + 1 WHERE id = ?"
        " RETURNING id, user_id, session_id, input, resumable, ended, attempt",
        (run.id,),
    ).fetchone()
    check_open(run, _run(columns), ended=bool(ended))
    return int(attempt)


def _begin(
    runs: Sequence[JournaledRun], appends: Sequence[Append[str]], connection: sqlite3.Connection
) -> AbstractSet[str]:
    ended = {append.run_id for append in appends if append.begins and append.ends}
    begun = {run.id for run in runs if _insert(connection, run, attempt=1, ended=run.id in ended)}
    return _append(appends, connection, begun)


def _append(
    appends: Sequence[Append[str]], connection: sqlite3.Connection, begun: AbstractSet[str] = frozenset()
) -> set[str]:
    held = set()
    for append in appends:
        if append.run_id not in begun and (append.begins or not _holds(connection, append)):
            continue
        held.add(append.run_id)
        now = time.time()
        packed = [pack(record.data) for record in append.records]
        connection.executemany(
            "INSERT INTO loom_journal (run_id, kind, step_key, data, at, version) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (append.run_id, r.kind, r.step_key, p.text, now, p.version)
                for r, p in zip(append.records, packed, strict=True)
            ],
        )
        if blobs := [(append.run_id, digest, body) for p in packed for digest, body in p.blobs.items()]:
            connection.executemany(
                "INSERT INTO loom_blob (run_id, sha256, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", blobs
            )
    return held


def _holds(connection: sqlite3.Connection, append: Append[str]) -> bool:
    """Whether the run is held as the append says; with its last records, it has ended from now on."""
    asked = {"id": append.run_id, "fence": append.fence}
    its = "id = :id AND (:fence IS NULL OR attempt = :fence)"
    if append.ends:
        return bool(connection.execute(f"UPDATE loom_run SET ended = 1 WHERE {its}", asked).rowcount)  # noqa: S608
    return connection.execute(f"SELECT 1 FROM loom_run WHERE {its}", asked).fetchone() is not None  # noqa: S608


def _read(connection: sqlite3.Connection, run_id: str, step_name: str | None) -> list[Row]:
    rows = connection.execute(
        "SELECT kind, step_key, data, version, at FROM loom_journal"
        " WHERE run_id = :run_id AND (:step_key IS NULL OR step_key = :step_key) ORDER BY place",
        {"run_id": run_id, "step_key": step_name},
    ).fetchall()
    bodies: dict[str, str] = {}
    if any(version >= WITH_BLOBS for *_, version, _ in rows):
        bodies.update(connection.execute("SELECT sha256, body FROM loom_blob WHERE run_id = ?", (run_id,)))
    return [
        Row(read_record(kind, key, _value(data, run_id), version, bodies), at) for kind, key, data, version, at in rows
    ]


def _forget(connection: sqlite3.Connection, user_id: str | None, session_id: str | None) -> int:
    asked = {"user_id": user_id, "session_id": session_id}
    theirs = "user_id IS :user_id AND (:session_id IS NULL OR session_id = :session_id)"
    for table in ("loom_journal", "loom_blob"):
        connection.execute(
            f"DELETE FROM {table} WHERE run_id IN (SELECT id FROM loom_run WHERE {theirs})",  # noqa: S608
            asked,
        )
    return connection.execute(f"DELETE FROM loom_run WHERE {theirs}", asked).rowcount  # noqa: S608


def _go_on(appends: Sequence[Append[str]]) -> bool:
    """Whether a run goes on from here: it may be about to do what outlives a crash of the machine.

    One that has done nothing yet, or has ended, does not.
    """
    return any(append.records and not append.ends for append in appends)


def _told(_: None, failure: BaseException | None) -> None:
    if failure is not None:
        logger.warning("the end of the last runs may not have reached the disk: %s", failure)


def _run(columns: Sequence[Any]) -> JournaledRun:
    run_id, user_id, session_id, input, resumable = columns
    return JournaledRun(run_id, user_id, session_id, _value(input, run_id), bool(resumable))


def _value(text: Any, run_id: str) -> Any:
    """Every value is JSON; nothing else that may stand in the file is ever interpreted."""
    try:
        return json.loads(text)
    except (TypeError, ValueError) as error:
        raise RuntimeJournalError(f"the journal of run {run_id!r} holds a value that is no JSON") from error
