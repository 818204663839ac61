"""Workers are killed again and again while runs are done, paid for and watched: one storm, looked at from all sides."""

from __future__ import annotations

import json
import random
import signal
import statistics
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

import httpx2
import pytest

from tests.chaos import drive

WORKERS = 3
RUNS = drive.pick(80, 1200)
KILLS = drive.pick(50, 1000)
WATCHERS = drive.pick(8, 50)
SECONDS = 0.3
PAUSE = (0.3, 0.7)


@dataclass
class Storm:
    """What happened."""

    tenant: drive.Tenant
    runs: dict[str, str] = field(default_factory=dict)  # name → id
    statuses: dict[str, str] = field(default_factory=dict)
    hits: list[tuple[str, datetime]] = field(default_factory=list)  # runs that a killed worker held, and when
    kills: int = 0
    seen: dict[str, list[int]] = field(default_factory=dict)  # by watched run

    def executions(self, step: str) -> Counter[str]:
        lines = (self.tenant.arena.folder / "steps").read_text().splitlines()
        words = [line.split() for line in lines]
        return Counter(name for kind, name, *_ in words if kind == step and name in self.runs)


@pytest.fixture(scope="module")
def storm(acme: drive.Tenant) -> Storm:
    arena, chance = acme.arena, random.Random(drive.SEED)
    happened = Storm(acme)
    names = [f"storm-{number}" for number in range(RUNS)]
    ids = acme.start("three-steps", ({"name": name, "seconds": SECONDS} for name in names))
    happened.runs = dict(zip(names, ids, strict=True))
    watched = chance.sample(ids, WATCHERS)
    watchers = [threading.Thread(target=_watch, args=(happened, run, chance.random())) for run in watched]
    for watcher in watchers:
        watcher.start()
    arena.keep(WORKERS)
    while happened.kills < KILLS:
        time.sleep(chance.uniform(*PAUSE))
        if victims := [worker for worker in arena.alive() if worker.is_ready() and not _holds_unlucky(acme, worker)]:
            _kill(happened, chance.choice(victims))
        if len([run for run, status in acme.statuses(ids).items() if status not in drive.OVER]) < 10:
            more = [f"storm-{len(ids) + number}" for number in range(10)]  # there is always something to lose
            added = acme.start("three-steps", ({"name": name, "seconds": SECONDS} for name in more))
            happened.runs |= dict(zip(more, added, strict=True))
            ids += added
    happened.statuses = acme.finish(ids)
    for watcher in watchers:
        watcher.join(60)
    arena.keep(0)
    return happened


def _holds_unlucky(tenant: drive.Tenant, worker: drive.Worker) -> bool:
    """Whether it has a run that three workers in a row have died with: one that meets five is a dead letter."""
    held = "SELECT 1 FROM agents_run WHERE status = 'running' AND crashes >= 3 AND lease_owner LIKE %s"
    return bool(tenant.rows(held, f"%:{worker.pid}"))


def _kill(storm: Storm, worker: drive.Worker) -> None:
    worker.send(signal.SIGKILL)
    worker.ended()
    storm.kills += 1
    held = "SELECT id::text, now() FROM agents_run WHERE status = 'running' AND lease_owner LIKE %s"
    storm.hits += storm.tenant.rows(held, f"%:{worker.pid}")


def _watch(storm: Storm, run: str, seed: float) -> None:
    """Read the run's stream, drop the connection at random, and come back with the last number that was seen."""
    chance, seen = random.Random(seed), storm.seen.setdefault(run, [])
    over = False
    while not over:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(seen[-1] if seen else 0)}
        most, read = chance.randrange(1, 5), 0
        try:
            with storm.tenant.http() as http, http.sse(f"/api/v1/runs/{run}/events", headers=headers) as stream:
                for frame in stream:
                    if not frame.data:
                        continue
                    event = json.loads(frame.data)
                    if event["seq"] is None:
                        continue
                    seen.append(event["seq"])
                    read += 1
                    over = event["kind"] in ("run.succeeded", "run.failed", "run.cancelled")
                    if over or read == most:
                        break
        except httpx2.TransportError:
            continue


def test_no_run_is_lost_and_all_are_whole(storm: Storm) -> None:
    failed = [run for run, status in storm.statuses.items() if status != "succeeded"]
    assert storm.tenant.rows("SELECT error FROM agents_run WHERE id = ANY(%s::uuid[])", failed) == []
    assert storm.tenant.broken() == [], f"seed {drive.SEED}"
    outputs = storm.tenant.rows(
        "SELECT input ->> 'name', output FROM agents_run WHERE id = ANY(%s::uuid[])", list(storm.runs.values())
    )
    assert [(name, output) for name, output in outputs if output != f"paid: {name}"] == []
    print(f"\n{len(storm.runs)} runs, {storm.kills} kills, {len(storm.hits)} runs hit, none lost (seed {drive.SEED})")  # noqa: T201


def test_no_more_steps_are_done_again_than_were_under_way_when_a_worker_was_killed(storm: Storm) -> None:
    again = {step: sum(storm.executions(step).values()) - len(storm.runs) for step in ("count", "wait", "pay")}

    print(f"\nsteps done again: {again} in {storm.kills} kills, of {3 * len(storm.runs)} steps")  # noqa: T201
    assert all(storm.executions(step).keys() == storm.runs.keys() for step in again)
    assert sum(again.values()) <= storm.kills * drive.CONCURRENCY


def test_what_a_step_does_in_our_database_is_there_exactly_once(storm: Storm) -> None:
    rows = storm.tenant.rows("SELECT name, count(*) FROM chaos_count WHERE name LIKE 'storm-%' GROUP BY name")

    assert dict(rows) == dict.fromkeys(storm.runs, 1)


def test_everybody_is_charged_exactly_once(storm: Storm) -> None:
    payments = storm.tenant.arena.payments
    charged = Counter(name for _, name in payments.charges if name in storm.runs)

    assert charged == Counter(storm.runs.keys())
    print(f"\n{len(charged)} charges, asked for {sum(payments.asked.values())} times, {storm.kills} kills")  # noqa: T201


def test_a_watcher_who_comes_back_again_and_again_sees_each_event_once_and_in_order(storm: Storm) -> None:
    assert len(storm.seen) == WATCHERS
    for run, seen in storm.seen.items():
        assert seen == [seq for seq, _ in storm.tenant.events(run)]


def test_runs_of_killed_workers_are_taken_up_again_soon(storm: Storm) -> None:
    first = "SELECT extract(epoch FROM min(at) - %s)::float FROM agents_runevent WHERE run_id = %s AND at > %s"
    took = [storm.tenant.rows(first, at, run, at)[0][0] for run, at in storm.hits]
    seconds = sorted(second for second in took if second is not None)

    print(  # noqa: T201
        f"\nrecovery of {len(seconds)} runs with a lease of {drive.LEASE_SECONDS} s: "
        f"p50 {statistics.median(seconds):.1f} s, max {seconds[-1]:.1f} s"
    )
    assert len(seconds) == len(took)
    assert seconds[-1] < drive.LEASE_SECONDS + 2 * drive.SWEEP_SECONDS + 20  # only that none hangs
