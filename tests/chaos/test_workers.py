"""Workers that come and go, that a run kills, whose clocks are wrong; and who gets which share of them."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos import drive

ROUNDS = drive.pick(3, 6)
FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)


def _runs(prefix: str, number: int, seconds: float) -> list[dict[str, object]]:
    return [{"name": f"{prefix}-{each}", "seconds": seconds} for each in range(number)]


def test_a_rolling_restart_loses_nothing_repeats_nothing_and_waits_for_no_lease(tenant: drive.Tenant) -> None:
    arena = tenant.arena
    workers = [arena.worker(lease_seconds=600) for _ in range(2)]
    arena.ready(*workers)
    ids = tenant.start("three-steps", _runs("rolling", 8 * ROUNDS, 1.0))

    for _ in range(ROUNDS):
        going = workers.pop(0)
        workers.append(arena.worker(lease_seconds=600))
        arena.ready(workers[-1])
        going.send(signal.SIGTERM)
        going.ended()

    assert set(tenant.finish(ids).values()) == {"succeeded"}
    assert tenant.rows("SELECT DISTINCT crashes FROM agents_run WHERE id = ANY(%s::uuid[])", ids) == [(0,)]
    steps = [line.split()[:2] for line in (arena.folder / "steps").read_text().splitlines()]
    waits = Counter(name for step, name in steps if step == "wait" and name.startswith("rolling-"))
    assert waits.keys() == {f"rolling-{number}" for number in range(len(ids))}
    assert set(waits.values()) == {1}


def test_a_run_that_kills_its_workers_becomes_a_dead_letter_and_the_others_are_done(tenant: drive.Tenant) -> None:
    arena = tenant.arena
    [poison] = tenant.start("poison", [{"name": "poison"}])
    ids = tenant.start("three-steps", _runs("beside-poison", drive.pick(20, 100), 0.2))
    arena.keep(4)

    assert set(tenant.finish([*ids, poison]).values()) == {"succeeded", "failed"}

    assert set(tenant.statuses(ids).values()) == {"succeeded"}
    [(error, attempt)] = tenant.rows("SELECT error, attempt FROM agents_run WHERE id = %s", poison)
    assert (error["code"], error["crashes"]) == ("dead_letter", 5)
    steps = (arena.folder / "steps").read_text().splitlines()
    assert Counter(line.split()[0] for line in steps)["die"] == 5 == attempt - 1


def test_a_tenant_waits_for_no_backlog_of_another(tenant: drive.Tenant) -> None:
    arena, globex = tenant.arena, tenant.arena.tenant("globex")
    backlog = tenant.start("three-steps", _runs("backlog", drive.pick(60, 5000), 0.3))
    arena.ready(*[arena.worker() for _ in range(2)])
    drive.wait_for(lambda: "succeeded" in tenant.statuses(backlog).values(), "the backlog is worked on")

    ids = globex.start("three-steps", _runs("globex", 3, 0.1))
    assert set(globex.finish(ids).values()) == {"succeeded"}

    between = "SELECT count(*) FROM agents_run WHERE id = ANY(%s::uuid[]) AND started_at BETWEEN %s AND %s"
    waits = globex.rows("SELECT created_at, started_at FROM agents_run")
    overtook = [tenant.rows(between, backlog, accepted, begun)[0][0] for accepted, begun in waits]
    assert max(overtook) <= 2 * drive.CONCURRENCY, overtook  # what two workers hold at a time
    assert set(tenant.finish(backlog).values()) == {"succeeded"}
    assert globex.broken() == []


def test_a_hundred_requests_at_once_under_one_key_start_one_run(tenant: drive.Tenant) -> None:
    tenant.arena.worker()
    body = {"agent": "three-steps", "input": {"name": "together", "seconds": 0.1}}

    def post(_: int) -> tuple[int, str]:
        with tenant.http() as http:
            while True:
                answer = http.post("/api/v1/runs", json=body, headers={"Idempotency-Key": f"together-{drive.SEED}"})
                if answer.status_code != 409:  # the first one is still under way
                    return answer.status_code, answer.text
                time.sleep(0.05)

    with ThreadPoolExecutor(100) as pool:
        answers = set(pool.map(post, range(100)))

    assert len(answers) == 1, answers
    [(status, text)] = answers
    assert status == 202
    assert tenant.rows("SELECT count(*) FROM agents_run WHERE input ->> 'name' = 'together'") == [(1,)]
    with tenant.http() as http:
        other = {**body, "input": {"name": "apart", "seconds": 0.1}}
        refused = http.post("/api/v1/runs", json=other, headers={"Idempotency-Key": f"together-{drive.SEED}"})
    assert refused.status_code == 422, refused.text
    assert set(tenant.finish([json.loads(text)["id"]]).values()) == {"succeeded"}


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed (Debian: apt-get install faketime)")
def test_a_worker_with_a_wrong_clock_takes_no_run_from_another(tenant: drive.Tenant) -> None:
    arena = tenant.arena
    clocks = [{"LD_PRELOAD": str(FAKETIME), "FAKETIME": by, "DONT_FAKE_MONOTONIC": "1"} for by in ("+1h", "-1h")]
    workers = [arena.other_worker(**clock) for clock in clocks]
    workers.append(arena.worker())
    arena.ready(*workers)

    ids = tenant.start("three-steps", _runs("clocks", 3 * drive.CONCURRENCY, drive.LEASE_SECONDS + 2))

    assert set(tenant.finish(ids).values()) == {"succeeded"}
    counted = "SELECT DISTINCT attempt, crashes FROM agents_run WHERE id = ANY(%s::uuid[])"
    assert tenant.rows(counted, ids) == [(1, 0)]
    took_part = tenant.rows("SELECT DISTINCT lease_owner FROM agents_run WHERE id = ANY(%s::uuid[])", ids)
    assert len(took_part) == 3
