"""A worker breaks at each place where something could be lost or done twice."""

from __future__ import annotations

import signal
from itertools import count

import httpx2
import pytest

from agents.core import faults
from tests.chaos import drive

OUTPUTS = {"three-steps": "paid: {name}", "thrifty": 'Echo: {{"name":"{name}","seconds":0.1}}'}
ENDS = """
SELECT a.slug, r.input ->> 'name', r.output FROM agents_run r
JOIN agents_agentversion v ON v.id = r.version_id JOIN agents_agent a ON a.id = v.agent_id
WHERE r.id = ANY(%s::uuid[])
"""
_numbers = count()


@pytest.mark.parametrize("action", ["crash", "exception", "delay=1"])
def test_runs_come_to_the_same_end_wherever_their_workers_break(tenant: drive.Tenant, action: str) -> None:
    arena, ids = tenant.arena, []
    times = (1, 2, 3) if drive.LONG else (1,)
    workers = [arena.worker(f"{point}:{action}:{nth}", concurrency=1) for point in faults.POINTS for nth in times]
    arena.ready(*workers)

    def all_broke() -> bool:
        left = [worker for worker in workers if not worker.is_at_fault()]
        if left and sum(s not in drive.OVER for s in tenant.statuses(ids).values()) < len(left):
            for program in OUTPUTS:
                names = [f"{action}-{next(_numbers)}" for _ in left]
                ids.extend(tenant.start(program, [{"name": name, "seconds": 0.1} for name in names]))
        return not left

    drive.wait_for(all_broke, "every worker comes to its fault")
    if action == "crash":
        for worker in workers:
            worker.ended()
    arena.keep(len(arena.alive()) or 1)

    assert set(tenant.finish(ids).values()) == {"succeeded"}
    ends = tenant.rows(ENDS, ids)
    assert [end for program, name, *end in ends if end != [OUTPUTS[program].format(name=name)]] == []


def test_a_request_that_dies_after_its_run_was_accepted_is_repeated_without_a_second_run(tenant: drive.Tenant) -> None:
    address = tenant.arena.other_web(LOOM_DEBUG="true", LOOM_FAULT="in_on_commit:crash:1")
    body = {"agent": "three-steps", "input": {"name": "once", "seconds": 0.1}}
    headers = {"Idempotency-Key": "in-on-commit", "Authorization": f"Bearer {tenant.token}"}

    with pytest.raises(httpx2.TransportError):
        httpx2.post(f"http://{address}/api/v1/runs", json=body, headers=headers, trust_env=False)
    with tenant.http() as http:
        again = http.post("/api/v1/runs", json=body, headers=headers)

    assert again.status_code == 202, again.text
    [(run, runs)] = tenant.rows("SELECT min(id::text), count(*) FROM agents_run WHERE input ->> 'name' = 'once'")
    assert (run, runs) == (again.json()["id"], 1)
    tenant.arena.worker()
    assert set(tenant.finish([run]).values()) == {"succeeded"}


def test_a_worker_that_stood_still_between_effect_and_record_writes_nothing_any_more(tenant: drive.Tenant) -> None:
    arena = tenant.arena
    zombie = arena.worker("after_effect_before_checkpoint:pause:2")
    arena.ready(zombie)
    [run] = tenant.start("three-steps", [{"name": "zombie", "seconds": 0.1}])
    drive.wait_for(zombie.is_at_fault, "the worker stands still")

    arena.worker()
    assert tenant.finish([run]) == {run: "succeeded"}
    events = tenant.events(run)
    zombie.send(signal.SIGCONT)
    drive.wait_for(lambda: zombie.said("was taken over by a later attempt"), "the worker hears that it is late")

    assert tenant.events(run) == events
    assert tenant.rows("SELECT attempt, crashes FROM agents_run WHERE id = %s", run) == [(2, 0)]
