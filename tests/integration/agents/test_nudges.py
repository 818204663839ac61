"""What a worker tells the watchers of many runs, in few round trips. Redis is a function of the test."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import anyio
import pytest

from agents.stream import nudges
from agents.stream.nudges import Nudges, run_group, tenant_group
from loom.events import Kind

ACME, NOTE = uuid4(), "architecture.note"


class Redis:
    """Takes what is told in one round trip, when it is let."""

    def __init__(self) -> None:
        self.trips: list[Sequence[nudges.Message]] = []
        self.open = anyio.Event()
        self.open.set()

    async def tell(self, messages: Sequence[nudges.Message]) -> None:
        await self.open.wait()
        self.trips.append(messages)

    def told(self, run_id: UUID) -> list[int]:
        return [body["seq"] for trip in self.trips for group, body in trip if group == run_group(ACME, run_id)]


@pytest.fixture
async def redis(monkeypatch: pytest.MonkeyPatch) -> Redis:
    redis = Redis()
    monkeypatch.setattr(nudges, "_tell", redis.tell)
    return redis


async def test_a_first_nudge_goes_at_once_and_those_that_follow_closely_together(redis: Redis) -> None:
    runs = [uuid4() for _ in range(100)]
    async with anyio.create_task_group() as group:
        told = Nudges(group.start_soon)
        told.add(ACME, runs[0], 1, NOTE)
        await anyio.wait_all_tasks_blocked()
        assert redis.told(runs[0]) == [1]
        for seq in (2, 3, 4):
            for run in runs:
                told.add(ACME, run, seq, NOTE)

    assert len(redis.trips) == 2
    assert redis.told(runs[0]) == [1, 4]
    assert [redis.told(run) for run in runs[1:]] == [[4]] * 99


async def test_an_end_waits_for_nothing_to_go_with_it(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nudges, "GATHER_SECONDS", 3600)
    run = uuid4()
    async with anyio.create_task_group() as group:
        told = Nudges(group.start_soon)
        told.add(ACME, run, 1, Kind.RUN_RESUMED)
        await anyio.wait_all_tasks_blocked()
        told.add(ACME, run, 2, NOTE)
        await anyio.wait_all_tasks_blocked()
        assert redis.told(run) == [1]
        told.add(ACME, run, 3, Kind.RUN_SUCCEEDED)
        await anyio.wait_all_tasks_blocked()
        assert redis.told(run) == [1, 3]
        group.cancel_scope.cancel()


async def test_what_is_said_while_redis_is_slow_is_told_when_it_answers(redis: Redis) -> None:
    run = uuid4()
    redis.open = anyio.Event()
    async with anyio.create_task_group() as group:
        told = Nudges(group.start_soon)
        for seq in (1, 2, 3):
            told.add(ACME, run, seq, NOTE)
            await anyio.wait_all_tasks_blocked()
        redis.open.set()

    assert redis.told(run)[-1] == 3


async def test_no_change_of_a_status_is_left_out(redis: Redis) -> None:
    run = uuid4()
    async with anyio.create_task_group() as group:
        told = Nudges(group.start_soon)
        told.add(ACME, run, 1, Kind.RUN_RESUMED)
        told.add(ACME, run, 2, NOTE)
        told.add(ACME, run, 3, Kind.RUN_SUCCEEDED)

    changes = [body for trip in redis.trips for group, body in trip if group == tenant_group(ACME)]
    assert [(body["run_id"], body["status"]) for body in changes] == [(str(run), "running"), (str(run), "succeeded")]


async def test_watchers_that_cannot_be_told_hold_nobody_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Hanging:
        def pipeline(self, **options: Any) -> Hanging:
            return self

        async def __aenter__(self) -> Hanging:
            return self

        async def __aexit__(self, *exc_info: object) -> None:
            pass

        def publish(self, *words: Any) -> None:
            pass

        async def execute(self) -> None:
            await anyio.sleep_forever()

    monkeypatch.setattr(nudges, "_redis", Hanging)
    monkeypatch.setattr(nudges, "TELL_SECONDS", 0.01)
    with caplog.at_level(logging.WARNING), anyio.fail_after(5):
        await nudges.nudge(ACME, uuid4(), 1, Kind.RUN_SUCCEEDED)

    assert "watchers are not told, they will see it on their next look: TimeoutError" in caplog.text
