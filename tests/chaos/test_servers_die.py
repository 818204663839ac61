"""Valkey and PostgreSQL are taken away under load, and come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import httpx2
import redis

from tests.chaos import drive

DEATHS_OF_VALKEY = drive.pick(3, 5)
DEATHS_OF_POSTGRES = drive.pick(3, 10)
RATE = drive.pick(10, 20)


class Poster:
    """Starts runs all the time, at a rate; repeats a request that fails, under its key, until it is answered."""

    def __init__(self, tenant: drive.Tenant, prefix: str) -> None:
        self._tenant, self._prefix = tenant, prefix
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._post, daemon=True)
        self.ids: list[str] = []
        self.seconds: list[float] = []
        self.refused: list[int] = []

    def during(self, work: Callable[[], None]) -> None:
        self._thread.start()
        try:
            work()
        finally:
            self._stop.set()
            self._thread.join(60)

    def _post(self) -> None:
        with self._tenant.http(10) as http:
            while not self._stop.wait(1 / RATE):
                self._once(http, f"{self._prefix}-{len(self.ids)}")

    def _once(self, http: httpx2.Client, name: str) -> None:
        body = {"agent": "three-steps", "input": {"name": name, "seconds": 0.2}}
        while True:
            began = time.monotonic()
            try:
                response = http.post("/api/v1/runs", json=body, headers={"Idempotency-Key": f"{drive.SEED}-{name}"})
            except httpx2.TransportError:
                self.refused.append(0)
                continue
            self.seconds.append(time.monotonic() - began)
            if response.status_code == 202:
                self.ids.append(response.json()["id"])
                return
            assert response.status_code in (409, 503), response.text
            self.refused.append(response.status_code)
            time.sleep(0.2)


def test_runs_are_accepted_and_done_while_the_broker_is_killed_and_emptied(tenant: drive.Tenant) -> None:
    arena = tenant.arena
    arena.keep(2)
    arena.ready(*arena.alive())
    poster = Poster(tenant, "no-broker")

    def work() -> None:
        for _ in range(DEATHS_OF_VALKEY):
            arena.kill_valkey(wipe=True)
            time.sleep(1)
            arena.restore()
            time.sleep(1)
        with redis.Redis.from_url(arena.env["REDIS_URL"]) as valkey:
            valkey.flushall()

    poster.during(work)

    assert set(tenant.finish(poster.ids).values()) == {"succeeded"}
    assert poster.refused == []
    slowest = sorted(poster.seconds)[-max(1, len(poster.seconds) // 100) :]
    print(f"\n{len(poster.ids)} runs accepted; slowest requests {slowest[0]:.2f} to {slowest[-1]:.2f} s")  # noqa: T201
    assert slowest[-1] < 5  # none hung


def test_no_accepted_run_is_lost_when_the_database_crashes(tenant: drive.Tenant) -> None:
    arena = tenant.arena
    arena.keep(2)
    arena.ready(*arena.alive())
    before = arena.alive()
    poster = Poster(tenant, "no-database")
    away = []

    def work() -> None:
        for number in range(DEATHS_OF_POSTGRES):
            time.sleep(1.5)
            arena.crash_postgres()
            time.sleep(number % 3)
            began = time.monotonic()
            arena.restore()
            away.append(time.monotonic() - began + number % 3)
        time.sleep(1)

    poster.during(work)
    failed = [run for run, status in tenant.finish(poster.ids).items() if status != "succeeded"]

    assert tenant.rows("SELECT error FROM agents_run WHERE id = ANY(%s::uuid[])", failed) == []
    accepted = tenant.rows("SELECT count(*) FROM agents_run WHERE input ->> 'name' LIKE 'no-database-%'")
    assert accepted == [(len(poster.ids),)]
    assert arena.alive() == before  # they came back by themselves
    print(f"\n{len(poster.ids)} runs over {len(away)} crashes, refused meanwhile: {len(poster.refused)}")  # noqa: T201
