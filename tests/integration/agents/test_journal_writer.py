"""The writer of journals: order, batches, and who hears of a refusal. The database is a function of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import anyio
import pytest

from agents import adapters
from agents.adapters import JournalWriter
from agents.core.runtime.journal import JournalSession
from agents.core.runtime.writer import Append
from loom.errors import Conflict, Unavailable
from loom.events import Event, Record

ACME, BETA = uuid4(), uuid4()


class Database:
    """Takes appends when it is let; `lost` runs have another fence."""

    def __init__(self) -> None:
        self.batches: list[tuple[UUID, list[tuple[UUID, list[int]]]]] = []
        self.lost: set[UUID] = set()
        self.fails: Exception | None = None
        self.open = anyio.Event()
        self.open.set()
        self.now: set[UUID] = set()
        self.together = 0

    async def __call__(self, tenant_id: UUID, appends: Sequence[Append]) -> dict[UUID, int]:
        assert tenant_id not in self.now, "one statement at a time for a tenant"
        self.now.add(tenant_id)
        self.together = max(self.together, len(self.now))
        await self.open.wait()
        await anyio.sleep(0)
        self.now.discard(tenant_id)
        if self.fails is not None:
            raise self.fails
        kept = [a for a in appends if a.run_id not in self.lost]
        self.batches.append((tenant_id, [(a.run_id, [r.data["n"] for r in a.records]) for a in kept]))
        return {a.run_id: 0 for a in kept}

    def written(self, run_id: UUID) -> list[int]:
        return [n for _, batch in self.batches for run, numbers in batch if run == run_id for n in numbers]


def record(n: int) -> Record:
    return Record(kind="architecture.test", data={"n": n})


@pytest.fixture
def nudges(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    told: list[tuple[Any, ...]] = []

    monkeypatch.setattr(adapters.stream.Nudges, "add", lambda _, *args: told.append(args))
    return told


@pytest.fixture
async def database() -> Database:
    return Database()


@pytest.fixture
async def writer(database: Database, nudges: Any) -> AsyncIterator[JournalWriter]:
    async with anyio.create_task_group() as group:
        yield JournalWriter(database, group)
        group.cancel_scope.cancel()


async def test_records_of_a_run_keep_their_order_and_are_there_after_a_flush(
    writer: JournalWriter, database: Database, nudges: list[Any]
) -> None:
    run = uuid4()
    journal = writer.journal(ACME, run, 1)
    for n in range(5):
        journal.post(record(n))
        if n % 2:
            await journal.flush()
            assert database.written(run) == list(range(n + 1))
    await journal.flush()
    assert database.written(run) == [0, 1, 2, 3, 4]
    assert nudges[-1][:2] == (ACME, run)


async def test_a_flush_without_anything_to_write_returns_at_once(writer: JournalWriter) -> None:
    with anyio.fail_after(1):
        await writer.journal(ACME, uuid4(), 1).flush()


async def test_what_gathers_while_a_statement_is_under_way_goes_with_the_next(
    writer: JournalWriter, database: Database
) -> None:
    database.open = anyio.Event()
    journals = [writer.journal(ACME, uuid4(), 1) for _ in range(20)]
    journals[0].post(record(0))
    await anyio.sleep(0.001)
    for n in range(1, 4):
        for journal in journals:
            journal.post(record(n))
    database.open.set()
    async with anyio.create_task_group() as group:
        for journal in journals:
            group.start_soon(journal.flush)
    assert len(database.batches) == 2
    assert database.written(journals[0].run_id) == [0, 1, 2, 3]
    assert all(database.written(journal.run_id) == [1, 2, 3] for journal in journals[1:])


async def test_tenants_do_not_wait_for_one_another(writer: JournalWriter, database: Database) -> None:
    database.open = anyio.Event()
    for tenant in (ACME, BETA):
        writer.journal(tenant, uuid4(), 1).post(record(1))
    await anyio.sleep(0.001)
    database.open.set()
    await anyio.sleep(0.001)
    assert database.together == 2
    assert sorted(len(batch) for _, batch in database.batches) == [1, 1]


async def test_only_the_run_that_is_in_other_hands_is_refused(writer: JournalWriter, database: Database) -> None:
    mine, lost = writer.journal(ACME, uuid4(), 1), writer.journal(ACME, uuid4(), 1)
    database.lost.add(lost.run_id)
    mine.post(record(1))
    lost.post(record(1))
    await mine.flush()
    with pytest.raises(Conflict, match=str(lost.run_id)):
        await lost.flush()
    with pytest.raises(Conflict, match=str(lost.run_id)):
        lost.post(record(2))
    mine.post(record(2))
    await mine.flush()
    assert (database.written(mine.run_id), database.written(lost.run_id)) == ([1, 2], [])


async def test_a_database_that_fails_refuses_everything_in_the_batch_and_nothing_after_it(
    writer: JournalWriter, database: Database
) -> None:
    first = writer.journal(ACME, uuid4(), 1)
    database.fails = OSError("gone")
    first.post(record(1))
    with pytest.raises(Unavailable, match="gone"):
        await first.flush()
    database.fails = None
    second = writer.journal(ACME, uuid4(), 1)
    second.post(record(1))
    await second.flush()
    assert database.written(second.run_id) == [1]


async def test_a_run_that_is_taken_up_again_here_ends_its_older_hold(writer: JournalWriter, database: Database) -> None:
    run = uuid4()
    older, newer = writer.journal(ACME, run, 1), writer.journal(ACME, run, 2)
    older.post(record(1))
    newer.post(record(2))
    with anyio.fail_after(1):
        await newer.flush()
        with pytest.raises(Conflict, match=str(run)):
            await older.flush()
    assert database.written(run) == [2]


async def test_what_a_cancelled_run_has_done_is_written_all_the_same(database: Database, nudges: Any) -> None:
    run = uuid4()
    database.open = anyio.Event()
    async with anyio.create_task_group() as outer:
        outer.start_soon(_open_soon, database)
        async with anyio.create_task_group() as group:
            journal = JournalWriter(database, group).journal(ACME, run, 1)
            journal.post(record(1))
            await anyio.sleep(0)
            journal.post(record(2))
            group.cancel_scope.cancel()
    assert database.written(run) == [1, 2]


async def _open_soon(database: Database) -> None:
    await anyio.sleep(0.02)
    database.open.set()


async def test_a_flush_can_be_cancelled(writer: JournalWriter, database: Database) -> None:
    database.open = anyio.Event()
    journal = writer.journal(ACME, uuid4(), 1)
    journal.post(record(1))
    with anyio.move_on_after(0.01) as scope:
        await journal.flush()
    assert scope.cancelled_caught
    database.open.set()
    await journal.flush()


async def test_what_postgresql_cannot_hold_is_written_otherwise(writer: JournalWriter, database: Database) -> None:
    journal = writer.journal(ACME, uuid4(), 1)
    JournalSession("s", journal).note(Event.architecture_event("s", "test", n="a\x00\ud800"))
    await journal.flush()
    assert database.written(journal.run_id) == ["a\ufffd\ufffd"]  # type: ignore[comparison-overlap]
