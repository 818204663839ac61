"""What the clock does where workers are all there is: no beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from agents import services
from agents.models import Run, Schedule
from tests.journeys.conftest import Caller, Fleet, offer

RUNS = 20


@pytest.fixture
def ann(fleet: Fleet, acme: Any, committed_db: None) -> Caller:
    for program in ("napper", "three-steps", "quick-echo"):
        offer(acme, program, {"program": program})
    return Caller(fleet.web(), acme.token)


def test_sleeping_runs_hold_no_worker_and_wake_once_though_workers_are_killed(
    ann: Caller, fleet: Fleet, acme: Any, tmp_path: Path, wait_for: Callable[..., None]
) -> None:
    first = fleet.worker()
    run_ids = [ann.start("napper", {"folder": str(tmp_path)}) for _ in range(RUNS)]

    def are(status: str) -> bool:
        with acme.scope():
            return Run.objects.filter(status=status, lease_until=None).count() == RUNS

    wait_for(lambda: are("waiting"))
    first.kill()
    first.wait()
    fleet.workers(2)
    wait_for(lambda: are("succeeded"))

    assert Counter((tmp_path / "steps").read_text().split()) == {"first": RUNS, "last": RUNS}
    for run_id in run_ids:
        kinds = Counter(event["kind"] for event in ann.journal(run_id))
        assert (kinds["run.waiting"], kinds["run.resumed"], kinds["run.succeeded"]) == (1, 1, 1)


def test_a_run_that_is_under_way_is_cut_off_at_its_deadline(
    ann: Caller, fleet: Fleet, tmp_path: Path, wait_for: Callable[..., None]
) -> None:
    fleet.worker()

    run_id = ann.start("three-steps", {"folder": str(tmp_path)}, deadline_seconds=3)

    assert ann.socket(run_id)[-1]["kind"] == "run.failed"
    run = ann.run(run_id)
    assert (run["status"], run["error"]["code"]) == ("failed", "deadline_exceeded")
    assert (tmp_path / "steps").read_text().split() == ["first", "slow"]


def test_a_worker_fires_schedules_by_itself(
    ann: Caller, fleet: Fleet, acme: Any, wait_for: Callable[..., None]
) -> None:
    plan = {"slug": "report", "agent": "quick-echo", "input": "the report", "cron": "* * * * *", "missed": "once"}
    with acme.scope():
        schedule = services.create_schedule(tenant=acme.tenant, by="test", **plan)
        this_minute = timezone.now().replace(second=0, microsecond=0)
        Schedule.objects.filter(pk=schedule.pk).update(next_at=this_minute)
    fleet.worker()

    def is_done() -> bool:
        with acme.scope():
            return Run.objects.filter(started_by="test", status="succeeded").exists()

    wait_for(is_done)
    with acme.scope():
        schedule.refresh_from_db()
        Schedule.objects.update(enabled=False, next_at=None)
    assert schedule.last_fired_at >= this_minute
    assert ann.run(str(schedule.last_run_id))["output"] == "Echo: the report"
