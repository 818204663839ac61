"""Durable steps a second, on SQLite and PostgreSQL: `python -m bench.journals`.

A step is a tool call's: its start is on disk before the effect, its result follows. Sequential steps are one run's;
concurrent ones are of a hundred runs at once. The noise of a shared machine is large: compare within one run of this.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio

from agents.core.concurrency import together
from agents.core.runtime.journaled import JournaledRuntime
from agents.core.runtime.postgres import PostgresRuntime
from agents.core.runtime.sqlite import SqliteRuntime
from loom.context import RunContext
from loom.ids import new_id
from loomsite import embedded

SEQUENTIAL, RUNS, STEPS = 500, 100, 20


async def effect(amount: int) -> str:
    return f"paid {amount}"


async def run(runtime: JournaledRuntime, steps: int) -> None:
    async with runtime.run(RunContext("ann", new_id("s"), new_id("run")), "go") as session:
        for number in range(steps):
            await session.step(f"turn:{number}/tool:call_1", effect, number)


async def measure(runtime: JournaledRuntime) -> None:
    await run(runtime, 20)
    alone = await seconds(partial(run, runtime, SEQUENTIAL))
    many = await seconds(lambda: together([partial(run, runtime, STEPS)] * RUNS))
    print(
        f"{runtime.name:9} sequential {SEQUENTIAL / alone:7.0f} steps/s ({alone / SEQUENTIAL * 1e3:.2f} ms each), "
        f"{RUNS} runs at once {RUNS * STEPS / many:7.0f} steps/s"
    )


async def seconds(work: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


def floor(folder: Path) -> None:
    """What one commit costs here, without us."""
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE t (a TEXT)")
    start = time.perf_counter()
    for _ in range(SEQUENTIAL):
        connection.execute("INSERT INTO t VALUES ('x')")
    print(f"one commit of bare sqlite3: {(time.perf_counter() - start) / SEQUENTIAL * 1e3:.2f} ms")


async def main(folder: Path, database_url: str) -> None:
    await measure(JournaledRuntime())
    sqlite = SqliteRuntime(folder / "journals.db")
    await measure(sqlite)
    await sqlite.aclose()
    postgres = await PostgresRuntime.connect(database_url)
    await postgres.init_schema()
    await measure(postgres)
    await postgres.aclose()


if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp(prefix="loom-bench-"))
    folder.chmod(0o711)
    try:
        floor(folder)
        services = embedded.start(folder)
        os.environ["DATABASE_URL"] = services.database_url
        anyio.run(main, folder, services.database_owner_url)
    finally:
        embedded.remove(folder)
        shutil.rmtree(folder)
