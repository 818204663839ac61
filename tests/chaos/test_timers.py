"""Runs that are to begin later, while the workers that keep the time are killed."""

from __future__ import annotations

import random
import signal
import time
from datetime import UTC, datetime, timedelta

from tests.chaos import drive

RUNS = drive.pick(40, 500)
WITHIN_SECONDS = drive.pick(8, 60)
SECONDS_TO_ACCEPT = 0.05  # one of them; what is accepted after its time says nothing about how late it begins


def test_each_run_that_is_to_begin_later_begins_once_and_never_early(tenant: drive.Tenant) -> None:
    arena, chance = tenant.arena, random.Random(drive.SEED)
    arena.keep(2)
    first = datetime.now(UTC) + timedelta(seconds=RUNS * SECONDS_TO_ACCEPT)
    due = {f"later-{n}": first + timedelta(seconds=chance.uniform(0, WITHIN_SECONDS)) for n in range(RUNS)}
    ids = [
        tenant.start("three-steps", [{"name": name, "seconds": 0.05}], not_before=at.isoformat())[0]
        for name, at in due.items()
    ]
    while datetime.now(UTC) < max(due.values()):
        time.sleep(chance.uniform(0.8, 1.6))
        if ready := [worker for worker in arena.alive() if worker.is_ready()]:
            chance.choice(ready).send(signal.SIGKILL)

    assert set(tenant.finish(ids).values()) == {"succeeded"}
    begun = dict(
        tenant.rows("SELECT input ->> 'name', started_at FROM agents_run WHERE input ->> 'name' LIKE 'later-%'")
    )
    late = sorted((begun[name] - at).total_seconds() for name, at in due.items())
    p50, p99 = late[RUNS // 2], late[RUNS * 99 // 100]
    print(f"\n{RUNS} timers, late by p50 {p50:.1f} s, p99 {p99:.1f} s, at most {late[-1]:.1f} s")  # noqa: T201
    assert late[0] >= 0
    counted = tenant.rows("SELECT name, count(*) FROM chaos_count WHERE name LIKE 'later-%' GROUP BY name")
    assert dict(counted) == dict.fromkeys(due, 1)
