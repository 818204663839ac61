"""When a worker asks the database for work, and when it waits."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest
from django.db import OperationalError

from agents import services
from agents.services import Claim
from agents.worker import Worker


class Counting(Worker):
    """A worker that counts how often it looks."""

    looks = 0

    async def _claim(self) -> Sequence[Claim]:
        self.looks += 1
        return await super()._claim()


@pytest.mark.usefixtures("committed_db")
async def test_a_full_worker_that_is_woken_looks_once_and_waits_on() -> None:
    worker = Counting(concurrency=0, lease_seconds=30)

    async with anyio.create_task_group() as group:
        group.start_soon(worker.run)
        await anyio.sleep(0.05)
        worker.wake()
        await anyio.sleep(0.05)
        worker.drain()

    assert worker.looks == 2


@pytest.mark.usefixtures("committed_db")
async def test_a_worker_that_is_asked_to_end_while_the_database_is_away_ends_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(**_: object) -> int:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(services, "release_runs", away)
    worker = Worker(concurrency=0, lease_seconds=30)

    async with anyio.create_task_group() as group:
        group.start_soon(worker.run)
        await anyio.sleep(0.05)
        worker.drain()
