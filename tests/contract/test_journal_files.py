"""Where journals are kept: how a runtime is named, the file, the disk behind it, and a server that is not there."""

from __future__ import annotations

import json
import os
import pickle
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import psycopg
import pytest

from agents.core.agent import Agent
from agents.core.concurrency import together
from agents.core.llm.echo import EchoModel
from agents.core.runtime.journaled import JournaledRuntime
from agents.core.runtime.postgres import PostgresJournalStore, PostgresRuntime
from agents.core.runtime.resolver import resolve_runtime
from agents.core.runtime.sqlite import SqliteJournalStore, SqliteRuntime
from agents.core.runtime.store import InMemoryJournalStore, JournaledRun
from agents.core.runtime.writer import Writer
from agents.core.tools.tool import tool
from governance.core.budget import BudgetConfig
from governance.core.standard_budget import StandardBudget
from loom.errors import (
    ConfigError,
    Invalid,
    LoomError,
    RuntimeJournalError,
    Unavailable,
)
from loom.events import Record
from tests.contract.durable import Counted, agent, calling, letters, new_schema

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("spec", ["sqlite", {"backend": "sqlite"}])
async def test_the_shorthand_sqlite_works_at_first_use(
    spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C19: `runtime="sqlite"` crashed with `no such table`."""
    monkeypatch.chdir(tmp_path)
    clerk = Agent("x", model=EchoModel(), runtime=spec)

    assert "hi" in (await clerk.run("hi")).output
    assert isinstance(clerk.runtime, SqliteRuntime)
    assert clerk.runtime.path.resolve().is_relative_to(tmp_path)
    await clerk.runtime.aclose()


async def test_a_sqlite_path_is_made_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "runs.db"
    for spec in (f"sqlite:{path}", {"backend": "sqlite", "path": str(path)}):
        clerk = Agent("x", model=EchoModel(), runtime=spec)  # type: ignore[arg-type]
        await clerk.run("hi")
        assert path.exists()
        assert isinstance(clerk.runtime, SqliteRuntime)
        await clerk.runtime.aclose()


async def test_making_a_sqlite_runtime_touches_no_file(tmp_path: Path) -> None:
    SqliteRuntime(tmp_path / "a.db")

    assert list(tmp_path.iterdir()) == []


async def test_a_sqlite_file_in_memory_lives_as_long_as_the_runtime() -> None:
    runtime, step = SqliteRuntime(":memory:"), Counted()
    for _ in range(2):
        async with runtime.session("s"):
            await runtime.step("pay", step, 1)

    assert step.calls == [1]
    await runtime.aclose()


@pytest.mark.parametrize("spec", ["postgres://u@h/d", "postgresql://u@h/d", {"backend": "postgres", "url": "x"}])
def test_a_postgres_url_says_how_to_connect(spec: Any) -> None:
    with pytest.raises(ConfigError, match=r"await PostgresRuntime\.connect"):
        resolve_runtime(spec)


async def test_a_new_database_needs_init_schema_which_may_be_called_twice() -> None:
    """C19: a fresh database failed with what the driver said."""
    runtime = await PostgresRuntime.connect(new_schema())
    with pytest.raises(ConfigError, match="init_schema"):
        async with runtime.session("s"):
            pass
    await together([runtime.init_schema, runtime.init_schema])
    async with runtime.session("s"):
        assert (await runtime.step("one", Counted(), 1))["call"] == 1
    await runtime.aclose()

    assert len(PostgresJournalStore.schema_sql()) == 6


async def test_a_server_that_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.core.runtime.postgres._PATIENCE_SECONDS", 0.5)
    with pytest.raises(Unavailable, match="does not answer"):
        await PostgresRuntime.connect("postgresql://nobody@127.0.0.1:1/none")


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("this is a letter, and not a short one at that" * 100)
    with pytest.raises(Unavailable, match=r"a\.db"):
        async with SqliteRuntime(tmp_path / "a.db").session("s"):
            pass


async def test_tools_that_block_every_thread_do_not_hold_up_the_journal(tmp_path: Path) -> None:
    runtime, release = SqliteRuntime(tmp_path / "a.db"), threading.Event()
    threads = int(anyio.to_thread.current_default_thread_limiter().total_tokens)

    async with anyio.create_task_group() as group:
        for _ in range(threads):
            group.start_soon(anyio.to_thread.run_sync, release.wait)
        with anyio.fail_after(30):
            async with runtime.session("s"):
                await runtime.step("pay", Counted(), 1)
        release.set()
    await runtime.aclose()


@pytest.mark.parametrize(
    ("effect", "expected"), [("keyed", ["on disk", "called", "committed"]), ("read", ["called", "committed"])]
)
async def test_a_run_waits_for_the_disk_before_a_call_that_changes_something_and_at_no_other_time(
    effect: Any, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    class Watched(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql == "COMMIT":
                [is_synced] = super().execute("PRAGMA synchronous").fetchone()
                events.append({1: "committed", 2: "on disk"}[is_synced])
            return super().execute(sql, *values)

    async def call(amount: int) -> str:
        events.append("called")
        return "called"

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Watched))
    runtime = SqliteRuntime(tmp_path / "a.db")
    tools, budget = [tool(call, effect=effect)], StandardBudget(BudgetConfig(max_tokens=10**6))
    await agent(runtime, calling("call", amount=5), "Done.", tools=tools, budget=budget).run("call")
    await runtime.aclose()

    assert events == expected


async def test_the_end_of_a_run_reaches_the_disk_in_a_moment_though_nobody_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        "agents.core.runtime.sqlite.os.fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}"))
    )
    (tmp_path / "link.db").symlink_to(tmp_path / "a.db")
    monkeypatch.chdir(tmp_path)
    runtime = SqliteRuntime("link.db")
    answering = Agent("x", model=EchoModel(), runtime=runtime)

    for _ in range(2):  # and again, once it is there
        synced.clear()
        await answering.run("hi")
        monkeypatch.chdir("/")
        assert await runtime.unfinished() == []  # to read writes nothing, to the disk neither
        with anyio.fail_after(5):
            while not synced:
                await anyio.sleep(0.01)
        assert synced == [str(tmp_path / "a.db-wal")]
    await runtime.aclose()


async def test_a_disk_that_fails_later_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("agents.core.runtime.sqlite.os.fsync", fail)
    runtime = SqliteRuntime(tmp_path / "a.db")
    await Agent("x", model=EchoModel(), runtime=runtime).run("hi")

    with anyio.fail_after(5):
        while "Input/output error" not in caplog.text:
            await anyio.sleep(0.01)
    await runtime.aclose()


@pytest.mark.parametrize(("company", "expected"), [(False, {"MainThread"}), (True, {"loom-journal"})])
def test_only_a_program_that_has_nothing_else_to_do_commits_on_its_event_loop(
    company: bool, expected: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = set[str]()

    class Watched(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql == "COMMIT":
                where.add(threading.current_thread().name)
            return super().execute(sql, *values)

    async def program() -> None:
        async with anyio.create_task_group() as group:
            if company:
                group.start_soon(anyio.sleep_forever)
            runtime = SqliteRuntime(tmp_path / "a.db")
            await Agent("x", model=EchoModel(), runtime=runtime).run("hi")
            await runtime.aclose()
            group.cancel_scope.cancel()

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Watched))
    anyio.run(program)

    assert where == expected


async def test_a_commit_that_fails_leaves_nothing_open_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [sqlite3.OperationalError("disk I/O error")]

    class Failing(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql == "COMMIT" and failures:
                raise failures.pop()
            return super().execute(sql, *values)

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Failing))
    store = SqliteJournalStore(tmp_path / "a.db")

    with pytest.raises(Unavailable, match="disk I/O error"):
        await store.open(JournaledRun("r", "ann", "s"))
    assert await store.open(JournaledRun("r", "ann", "s")) == 1
    await store.aclose()


async def test_who_interrupts_a_commit_is_heard_and_the_run_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    store = SqliteJournalStore(tmp_path / "a.db")
    writer: Writer[str] = Writer(lambda take, done: store.submit([], take(), done), linger=3600)
    journal = writer.journal_of("r", 1)
    journal.post(Record(kind="architecture.told"))
    monkeypatch.setattr(store, "_is_alone", lambda: True)
    monkeypatch.setattr(store, "_connected", interrupted)

    with pytest.raises(KeyboardInterrupt):
        await journal.flush()
    with pytest.raises(Unavailable, match="KeyboardInterrupt"):
        await journal.flush()


async def test_a_record_that_cannot_be_written_is_its_runs_trouble_and_nobody_elses(tmp_path: Path) -> None:
    store = SqliteJournalStore(tmp_path / "a.db")
    for name in ("bad", "good"):
        await store.open(JournaledRun(name, "ann", name))
    writer: Writer[str] = Writer(lambda take, done: store.submit([], take(), done), linger=3600)
    bad, good = writer.journal_of("bad", 1), writer.journal_of("good", 1)
    bad.post(Record(kind="architecture.told", data={"value": object()}))
    good.post(Record(kind="architecture.told", data={"value": 1}))

    with pytest.raises(Invalid, match="no JSON form"):
        await bad.flush()
    await good.flush()
    assert [row.record.data for row in await store.read("good")] == [{"value": 1}]
    await store.aclose()


_FORKING = """
import os, sys, anyio
from agents.core.agent import Agent
from agents.core.llm.echo import EchoModel
from agents.core.runtime.sqlite import SqliteRuntime

echo = Agent("x", model=EchoModel(), runtime=SqliteRuntime(sys.argv[1]))
anyio.run(echo.run, "before")
if (child := os.fork()) == 0:
    anyio.run(echo.run, "in the child")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
anyio.run(echo.run, "after")
"""


def test_a_forked_child_has_a_connection_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    subprocess.run([sys.executable, "-c", _FORKING, str(path)], cwd=ROOT, check=True, timeout=60)

    with sqlite3.connect(path) as connection:
        runs = connection.execute("SELECT input, ended FROM loom_run ORDER BY place").fetchall()
    connection.close()
    assert runs == [('"before"', 1), ('"in the child"', 1), ('"after"', 1)]


async def test_journal_rows_are_json_with_a_version(tmp_path: Path) -> None:
    runtime = SqliteRuntime(tmp_path / "a.db")
    async with runtime.session("s"):
        await runtime.step("pay", Counted(), 5)
    await runtime.aclose()

    rows = sqlite3.connect(tmp_path / "a.db").execute("SELECT data, version FROM loom_journal").fetchall()

    assert [version for _, version in rows] == [1, 1]
    assert json.loads(rows[1][0]) == {"value": {"value": 5, "call": 1}}


class Bomb:
    def __reduce__(self) -> Any:
        return os.mkdir, (os.environ["BOMB"],)


async def test_code_in_a_journal_row_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A14: journal values were pickles, so whoever could write the database ran code."""
    monkeypatch.setenv("BOMB", str(tmp_path / "exploded"))
    runtime = SqliteRuntime(tmp_path / "a.db")
    await runtime.store.put_step("s", "pay", 1)
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("UPDATE loom_journal SET data = ?", (pickle.dumps({"value": Bomb()}),))
    connection.close()

    with pytest.raises(RuntimeJournalError):
        async with runtime.session("s"):
            await runtime.step("pay", Counted(), 5)
    assert not (tmp_path / "exploded").exists()
    await runtime.aclose()


async def test_a_row_of_a_later_version_is_refused(tmp_path: Path) -> None:
    runtime = SqliteRuntime(tmp_path / "a.db")
    await runtime.store.put_step("s", "pay", 1)
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("UPDATE loom_journal SET version = 99")
    connection.close()

    with pytest.raises(RuntimeJournalError, match="update loom"):
        async with runtime.session("s"):
            pass
    await runtime.aclose()


async def test_the_keys_of_an_in_memory_store_can_be_listed() -> None:
    store = InMemoryJournalStore()
    runtime = JournaledRuntime(store)
    async with runtime.session("s"):
        await runtime.step("one", Counted(), 1)
        _ = [letter async for letter in runtime.stream_step("say", letters, 2)]
    await Agent("x", model=EchoModel(), runtime=runtime).run("hi", session_id="t")

    assert store.stream_keys() == [("s", "say")]
    assert store.step_keys()[0] == ("s", "one")
    assert ("t", "turn:1/model") in store.step_keys()


def test_one_sqlite_runtime_serves_event_loops_one_after_the_other_and_at_once(tmp_path: Path) -> None:
    runtime, step = SqliteRuntime(tmp_path / "a.db"), Counted()

    async def work(number: int) -> None:
        async with runtime.session(f"s{number}"):
            for place in range(5):
                await runtime.step(f"part:{place}", step, place)

    for _ in range(2):
        anyio.run(work, 0)
    _in_threads([lambda n=n: anyio.run(work, n) for n in range(1, 5)])  # type: ignore[misc]

    assert len(step.calls) == 25
    anyio.run(runtime.aclose)


def _in_threads(work: list[Callable[[], Any]]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(work)) as pool:
        for done in [pool.submit(one) for one in work]:
            done.result()


class Full(InMemoryJournalStore):
    """A store whose disk is full after some writes."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    async def append(self, appends: Any) -> Any:
        self.room -= 1
        if self.room < 0:
            raise OSError("no space left on device")
        return await super().append(appends)


async def test_a_store_that_cannot_write_stops_the_run_before_the_effect() -> None:
    step = Counted()
    with pytest.raises(Unavailable, match="no space left"):
        async with JournaledRuntime(Full(room=0)).session("s") as session:
            await session.step("pay", step, 1)

    assert step.calls == []


def _pay(amount: int) -> str:
    return f"paid {amount}"


async def test_an_agent_over_a_store_that_cannot_write_raises_a_named_error() -> None:
    for room in range(3):
        with pytest.raises(LoomError, match="no space left"):
            await agent(
                JournaledRuntime(Full(room)),
                calling("pay", amount=1),
                calling("pay", amount=2),
                "Done.",
                tools=[tool(_pay, name="pay")],
            ).run("x")


def test_the_driver_of_postgres_is_imported_when_it_is_used() -> None:
    assert psycopg.__name__ not in PostgresRuntime.__module__
    assert SqliteJournalStore("x").path == Path("x")
