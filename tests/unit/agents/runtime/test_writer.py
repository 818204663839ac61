"""One transaction takes what has gathered while the last one ran."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from agents.core.concurrency import together
from agents.core.runtime.journal import JournalSession, may_repeat
from agents.core.runtime.writer import Append, Writer, in_tasks
from loom.errors import Conflict, Invalid, Unavailable
from loom.events import Record


class Disk:
    """Where appends go: slowly, and only as long as it works."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.under_way = 0
        self.lost: set[str] = set()
        self.error: Exception | None = None
        self.bad: str | None = None
        self.go = anyio.Event()

    async def write(self, appends: Sequence[Append]) -> set[str]:
        self.under_way += 1
        assert self.under_way == 1
        await self.go.wait()
        self.under_way -= 1
        if self.error is not None:
            raise self.error
        if any(record.kind == self.bad for append in appends for record in append.records):
            raise Invalid(f"cannot store {self.bad!r}")
        self.batches.append([f"{a.run_id}:{r.kind}" for a in appends for r in a.records])
        return {a.run_id for a in appends} - self.lost


async def test_what_gathers_during_a_write_is_written_by_the_next_one_in_order() -> None:
    disk = Disk()
    writer = Writer(in_tasks(disk.write))
    first, second = writer.journal_of("a", 1), writer.journal_of("b", 1)
    first.post(Record(kind="1"))
    await anyio.wait_all_tasks_blocked()
    for number in (2, 3):
        first.post(Record(kind=str(number)))
        second.post(Record(kind=str(number)))

    disk.go.set()
    await together([first.flush, second.flush])

    assert disk.batches == [["a:1"], ["a:2", "a:3", "b:2", "b:3"]]


async def test_what_nobody_waits_for_gathers_and_goes_by_itself_after_a_while() -> None:
    disk = Disk()
    disk.go.set()
    journal = Writer(in_tasks(disk.write), linger=0.02).journal_of("a", 1)
    journal.post(Record(kind="1"))
    await anyio.wait_all_tasks_blocked()
    journal.post(Record(kind="2"))
    assert not journal.is_settled

    with anyio.fail_after(10):
        while not journal.is_settled:
            await anyio.sleep(0.005)

    assert disk.batches == [["a:1", "a:2"]]


async def test_who_waits_does_not_wait_for_others_to_come_along() -> None:
    disk = Disk()
    disk.go.set()
    journal = Writer(in_tasks(disk.write), linger=3600).journal_of("a", 1)
    for kind in ("1", "2"):
        journal.post(Record(kind=kind))

    with anyio.fail_after(10):
        await journal.flush()

    assert disk.batches == [["a:1", "a:2"]]


async def test_flush_returns_only_when_all_that_was_posted_is_written() -> None:
    disk = Disk()
    journal = Writer(in_tasks(disk.write)).journal_of("a", 1)
    journal.post(Record(kind="1"))

    with anyio.move_on_after(0.05) as waited:
        await journal.flush()
    disk.go.set()
    await journal.flush()

    assert waited.cancelled_caught
    assert disk.batches == [["a:1"]]


async def test_a_run_in_other_hands_is_refused_and_its_neighbors_are_not() -> None:
    disk = Disk()
    disk.lost, writer = {"a"}, Writer(in_tasks(disk.write))
    disk.go.set()
    lost, held = writer.journal_of("a", 1), writer.journal_of("b", 1)
    lost.post(Record(kind="1"))
    held.post(Record(kind="1"))

    with pytest.raises(Conflict, match="'a'"):
        await lost.flush()
    with pytest.raises(Conflict):
        lost.post(Record(kind="2"))
    await held.flush()


async def test_every_run_of_a_failed_write_hears_of_it() -> None:
    disk = Disk()
    disk.error, writer = OSError("no space left"), Writer(in_tasks(disk.write))
    disk.go.set()
    journals = [writer.journal_of(name, 1) for name in "ab"]
    for journal in journals:
        journal.post(Record(kind="1"))

    for journal in journals:
        with pytest.raises(Unavailable, match="no space left"):
            await journal.flush()


async def test_nothing_follows_a_write_that_was_refused() -> None:
    disk = Disk()
    disk.error, writer = OSError("no space left"), Writer(in_tasks(disk.write))
    journal = writer.journal_of("a", 1)
    journal.post(Record(kind="1"))
    await anyio.wait_all_tasks_blocked()
    journal.post(Record(kind="2"))

    disk.go.set()
    with pytest.raises(Unavailable):
        await journal.flush()
    disk.error = None
    await anyio.wait_all_tasks_blocked()

    assert disk.batches == []


async def test_a_record_that_cannot_be_written_refuses_its_own_run_only() -> None:
    disk = Disk()
    disk.bad, writer = "bad", Writer(in_tasks(disk.write))
    disk.go.set()
    good, bad = writer.journal_of("a", 1), writer.journal_of("b", 1)
    good.post(Record(kind="good"))
    bad.post(Record(kind="bad"))

    with pytest.raises(Invalid, match="bad"):
        await bad.flush()
    await good.flush()
    good.post(Record(kind="next"))
    await good.flush()

    assert disk.batches == [["a:good"], ["a:next"]]


@pytest.mark.parametrize(
    ("effect", "repeats"),
    [("read", True), ("idempotent", True), ("keyed", True), (None, True), ("irreversible", False)],
)
def test_only_what_is_irreversible_is_not_done_again(effect: str | None, repeats: bool) -> None:
    started = Record(kind="tool.started", step_key="t/tool:call_1", data={"effect": effect} if effect else {})
    session = JournalSession("s", Writer(in_tasks(Disk().write)).journal_of("a", 1), [started])

    assert may_repeat(started) is repeats
    assert session.in_doubt("t/tool:call_1") is not repeats
    assert not session.in_doubt("t/tool:call_2")
