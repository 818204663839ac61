"""Watching a run over SSE, by the web process as it is really started."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import anyio
import httpx2
import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import connection

from agents import api, stream
from agents.stream import ears, following, nudges
from governance import services as governance
from loom.events import Kind, Record

pytestmark = pytest.mark.usefixtures("committed_db")

USAGE = {
    "input_tokens": 1, "cached_input_tokens": 0, "cache_write_tokens": 0, "output_tokens": 1, "cost_usd": 0,
}  # fmt: skip
SUCCEEDED = Record(kind=Kind.RUN_SUCCEEDED, data={"output": "done"})


def note(number: int) -> Record:
    return Record(kind="architecture.note", step_key=f"n:{number}", data={"n": number})


@dataclass
class Job:
    """A run under way: what its worker says, and how to watch it."""

    place: Any
    run: Any
    web: str
    append: Callable[..., int]

    def say(self, *records: Record) -> int:
        """Write and nudge, as a worker does."""
        seq = self.append(*records)
        async_to_sync(stream.nudge)(self.place.tenant.pk, self.run.pk, seq, records[-1].kind)
        return seq

    def show(self, **texts: str) -> None:
        async_to_sync(stream.Deltas(self.place.tenant.pk, self.run.pk).publish)(texts)

    def stream(self, **headers: str) -> Any:
        everything = {"Authorization": f"Bearer {self.place.token}", "Accept": "text/event-stream", **headers}
        return httpx2.stream("GET", self.address, headers=everything, timeout=30)

    @property
    def address(self) -> str:
        return f"http://{self.web}/api/v1/runs/{self.run.pk}/events"

    def events(self, *, limit: int = 10_000, **headers: str) -> list[dict[str, Any]]:
        """The events until the stream ends, or until there are so many."""
        with self.stream(**headers) as response:
            assert response.status_code == 200, response.read()
            return [event for event, _ in zip(_events(response), range(limit))]  # noqa: B905


def _events(response: Any) -> Iterator[dict[str, Any]]:
    frame: dict[str, str] = {}
    for line in response.iter_lines():
        name, _, value = line.partition(": ")
        frame[name] = value
        if line == "" and "data" in frame:
            event = json.loads(frame["data"])
            assert (frame["event"], frame.get("id")) == (event["kind"], event["seq"] and str(event["seq"]))
            yield event
        if line == "":
            frame = {}


def _numbers(events: list[dict[str, Any]]) -> list[int]:
    return [event["seq"] for event in events if event["seq"] is not None]


@pytest.fixture
def job(acme: Any, web: str) -> Job:
    acme.agent()
    run = acme.run()
    return Job(acme, run, web, acme.work(run))


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(60) as pool:
        yield pool


def test_a_stream_says_how_it_is_to_be_read(job: Job) -> None:
    job.say(SUCCEEDED)

    with job.stream() as response:
        text = response.read().decode()

    assert response.headers["Content-Type"] == "text/event-stream"
    assert (response.headers["Cache-Control"], response.headers["X-Accel-Buffering"]) == ("no-store", "no")
    assert text.startswith("retry: 2000\n\nid: 1\nevent: run.started\ndata: {")
    assert text.endswith("}\n\n")


def test_who_comes_late_gets_all_events_in_order_and_the_end(job: Job, threads: ThreadPoolExecutor) -> None:
    job.say(*[note(n) for n in range(3)])
    watching = threads.submit(job.events)
    for number in range(3):
        job.say(note(number))
        time.sleep(random.random() / 20)
    job.say(SUCCEEDED)

    events = watching.result(timeout=30)

    assert _numbers(events) == list(range(1, 9))
    assert (events[0]["kind"], events[-1]["kind"]) == ("run.started", "run.succeeded")


def test_who_comes_back_gets_what_they_missed_and_nothing_twice(job: Job, threads: ThreadPoolExecutor) -> None:
    last = 80

    def watch(seed: int) -> list[int]:
        chance, seen = random.Random(seed), []  # type: ignore[var-annotated]
        while len(seen) < last:
            since = {"Last-Event-ID": str(seen[-1])} if seen else {}
            seen += _numbers(job.events(limit=chance.randint(1, 25), **since))
        return seen

    watching = [threads.submit(watch, seed) for seed in range(25)]
    written = 1
    while written < last - 1:
        count = min(random.randint(1, 4), last - 1 - written)
        written = job.say(*[note(n) for n in range(count)])
        time.sleep(random.random() / 50)
    job.say(SUCCEEDED)

    assert [seen.result(timeout=60) for seen in watching] == [list(range(1, last + 1))] * 25


def test_a_long_journal_comes_in_pages_without_a_gap(job: Job, threads: ThreadPoolExecutor) -> None:
    job.say(*[note(n) for n in range(2 * stream.PAGE)])
    watching = [threads.submit(job.events, **since) for since in ({}, {"Last-Event-ID": "700"})]
    time.sleep(0.2)
    job.say(*[note(n) for n in range(stream.PAGE + 7)], SUCCEEDED)
    last = 3 * stream.PAGE + 9

    assert _numbers(watching[0].result(timeout=30)) == list(range(1, last + 1))
    assert _numbers(watching[1].result(timeout=30)) == list(range(701, last + 1))


def test_an_event_that_nobody_was_nudged_about_comes_all_the_same(job: Job, threads: ThreadPoolExecutor) -> None:
    watching = threads.submit(job.events)
    time.sleep(0.5)
    job.append(note(0), SUCCEEDED)

    assert _numbers(watching.result(timeout=30)) == [1, 2, 3]


def test_after_is_where_the_stream_begins_and_the_last_event_id_goes_before(job: Job) -> None:
    job.say(note(0), note(1), SUCCEEDED)
    headers = {"Authorization": f"Bearer {job.place.token}", "Accept": "text/event-stream"}

    with httpx2.stream("GET", f"{job.address}?after=2", headers=headers) as response:
        assert _numbers(list(_events(response))) == [3, 4]
    assert _numbers(job.events(**{"Last-Event-ID": "3"})) == [4]


def test_who_has_everything_of_a_run_that_is_over_is_told_not_to_come_back(job: Job) -> None:
    last = job.say(SUCCEEDED)

    with job.stream(**{"Last-Event-ID": str(last)}) as response:
        assert (response.status_code, response.read()) == (204, b"")


def test_live_text_grows_without_numbers_and_ends_with_the_message(job: Job, threads: ThreadPoolExecutor) -> None:
    watching = threads.submit(job.events)
    time.sleep(0.5)
    for text in ("Hel", "Hello", "Hello wörld"):
        job.show(step=text)
        time.sleep(0.1)
    late = threads.submit(job.events, **{"Last-Event-ID": "1"})
    time.sleep(0.5)
    job.say(Record(kind=Kind.MODEL_COMPLETED, step_key="step", data={"value": {"usage": USAGE}}))
    after_the_message = threads.submit(job.events, **{"Last-Event-ID": "2"})
    time.sleep(0.5)
    job.say(SUCCEEDED)

    def pieces(events: list[dict[str, Any]]) -> str:
        text = ""
        for event in events:
            if event["kind"] == Kind.MODEL_DELTA:
                assert (event["seq"], event["step_key"]) == (None, "step")
                text = text[: event["data"]["offset"]] + event["data"]["text"]
        return text

    first, second, third = (events.result(timeout=30) for events in (watching, late, after_the_message))
    assert (pieces(first), pieces(second), pieces(third)) == ("Hello wörld", "Hello wörld", "")
    assert sum(event["kind"] == Kind.MODEL_DELTA for event in second) == 1
    assert [_numbers(events) for events in (first, second, third)] == [[1, 2, 3], [2, 3], [3]]


def test_open_streams_hold_no_database_connection(job: Job, threads: ThreadPoolExecutor) -> None:
    assert settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"] < 50
    watching = [threads.submit(job.events) for _ in range(50)]
    time.sleep(2)
    job.say(SUCCEEDED)

    assert [_numbers(events.result(timeout=30)) for events in watching] == [[1, 2]] * 50


def test_a_stream_ends_when_its_key_is_revoked(job: Job, threads: ThreadPoolExecutor) -> None:
    key, token = job.place.key("read")
    watching = threads.submit(job.events, Authorization=f"Bearer {token}")
    time.sleep(0.5)
    with job.place.scope():
        governance.revoke_key(tenant=job.place.tenant, key_id=key.pk, by="test")
    revoked_at = time.monotonic()

    assert _numbers(watching.result(timeout=30)) == [1]
    assert time.monotonic() - revoked_at < 15


def test_a_stream_of_a_run_that_is_not_there_is_a_problem(job: Job, globex: Any) -> None:
    with job.stream(Authorization=f"Bearer {globex.token}") as response:
        assert (response.status_code, response.headers["Content-Type"]) == (404, "application/problem+json")


# --- in one process ---------------------------------------------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The units of database work that watching takes."""
    done, unit = [], following.unit

    def counting(*work: Any) -> Any:
        done.append(work)
        return unit(*work)

    monkeypatch.setattr(following, "unit", counting)
    return done


async def test_one_reads_for_all_who_watch(acme: Any, reads: list[Any]) -> None:
    run, append = await anyio.to_thread.run_sync(_begin, acme)
    seen: list[list[int | None]] = [[] for _ in range(100)]

    async def watch(mine: list[int | None]) -> None:
        async for notice in stream.follow(acme.tenant.pk, run.pk):
            mine += [notice.seq] if notice else []

    async with anyio.create_task_group() as tasks:
        for mine in seen:
            tasks.start_soon(watch, mine)
        while not all(seen):
            await anyio.sleep(0.05)
        await anyio.sleep(0.5)
        reads.clear()
        for number in range(10):
            await anyio.to_thread.run_sync(_write, append, note(number))
            await stream.nudge(acme.tenant.pk, run.pk, number + 2, "architecture.note")
            await anyio.sleep(0.05)
        events, statements = 10, len(reads)
        await anyio.to_thread.run_sync(_write, append, SUCCEEDED)
        await stream.nudge(acme.tenant.pk, run.pk, 12, Kind.RUN_SUCCEEDED)

    assert seen == [list(range(1, 13))] * 100
    assert statements <= 2 * events
    assert following._feeds[asyncio.get_running_loop()] == {}


async def test_a_watcher_who_leaves_takes_everything_along(acme: Any) -> None:
    run, _ = await anyio.to_thread.run_sync(_begin, acme)
    loop = asyncio.get_running_loop()
    notices: AsyncGenerator[stream.Notice | None, None] = stream.follow(acme.tenant.pk, run.pk)

    first = await anext(notices)
    watched = set(following._feeds[loop])
    await notices.aclose()
    await anyio.sleep(0.1)

    assert first is not None
    assert (watched, following._feeds[loop], set(ears._ears[loop])) == ({run.pk}, {}, {ears._SILENCE})


async def test_silence_is_broken_by_a_comment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "HEARTBEAT_SECONDS", stream.POLL_SECONDS)

    async def nothing() -> AsyncGenerator[stream.Notice | None, None]:
        yield None
        yield None

    assert [frame async for frame in api._frames(nothing())] == ["retry: 2000\n\n", *[": still here\n\n"] * 2]


async def test_a_stream_without_redis_goes_on(acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Layer:
        async def new_channel(self) -> str:
            raise ConnectionRefusedError

    def no_client() -> None:
        raise ConnectionRefusedError

    run, append = await anyio.to_thread.run_sync(_begin, acme)
    monkeypatch.setattr(ears, "get_channel_layer", Layer)
    monkeypatch.setattr(nudges, "_redis", no_client)
    monkeypatch.setattr(following, "POLL_SECONDS", 0.1)
    seen = []

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, _write, append, SUCCEEDED)
        with anyio.fail_after(20):
            async for notice in stream.follow(acme.tenant.pk, run.pk):
                seen += [notice.seq] if notice else []

    assert seen == [1, 2]


def _begin(place: Any) -> Any:
    try:
        place.agent()
        run = place.run()
        return run, place.work(run)
    finally:
        connection.close()


def _write(append: Callable[..., int], *records: Record) -> int:
    try:
        return append(*records)
    finally:
        connection.close()
