"""A worker dies or is asked to go while it holds a run; another goes on where it stopped."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.models import Run
from tests.journeys.conftest import Caller, Fleet, Process, offer

LEASE_SECONDS = 3


@pytest.fixture
def ann(fleet: Fleet, acme: Any, committed_db: None) -> Caller:
    fleet.env["LOOM_LEASE_SECONDS"] = str(LEASE_SECONDS)
    offer(acme, "three-steps", {"program": "three-steps"})
    return Caller(fleet.web(), acme.token)


def _steps(folder: Path) -> list[str]:
    file = folder / "steps"
    return file.read_text().split() if file.exists() else []


def _holder(place: Any, run_id: str, workers: list[Process]) -> tuple[Process, Process]:
    """The worker that has the run, and the one that has not."""
    with place.scope():
        owner = Run.objects.get(pk=run_id).lease_owner
    one, other = workers
    return (one, other) if owner.endswith(f":{one.pid}") else (other, one)


def _begin_slow_step(
    ann: Caller, fleet: Fleet, place: Any, folder: Path, wait_for: Callable[..., None]
) -> tuple[str, Process]:
    """A run in the middle of its second step, and the worker that has it; another one stands by."""
    workers = fleet.workers(2)
    run_id = ann.start("three-steps", {"folder": str(folder)})
    wait_for(lambda: _steps(folder) == ["first", "slow"])
    return run_id, _holder(place, run_id, workers)[0]


def _assert_whole(ann: Caller, run_id: str, folder: Path) -> None:
    """It came to its end, did only the step in hand twice, and tells each thing once."""
    run, journal = ann.run(run_id), ann.journal(run_id)
    assert (run["status"], run["output"], run["attempt"]) == ("succeeded", "all three", 2)
    assert _steps(folder) == ["first", "slow", "slow", "last"]
    assert [event["seq"] for event in journal] == list(range(1, run["last_seq"] + 1))
    assert [event["kind"] for event in journal].count("run.resumed") == 1
    ends = [event["step_key"] for event in journal if event["kind"] == "architecture.step.completed"]
    assert len(ends) == len(set(ends)) == 3


def test_a_killed_worker_s_run_is_finished_by_another(
    ann: Caller, fleet: Fleet, acme: Any, tmp_path: Path, wait_for: Callable[..., None]
) -> None:
    run_id, holder = _begin_slow_step(ann, fleet, acme, tmp_path, wait_for)

    holder.send_signal(signal.SIGKILL)
    holder.wait()
    (tmp_path / "go").touch()

    assert ann.socket(run_id)[-1]["kind"] == "run.succeeded"
    _assert_whole(ann, run_id, tmp_path)


def test_a_worker_that_is_asked_to_end_gives_its_run_back_at_once(
    ann: Caller, fleet: Fleet, acme: Any, tmp_path: Path, wait_for: Callable[..., None]
) -> None:
    fleet.env["LOOM_LEASE_SECONDS"] = "600"  # so it is not the lease's end that frees the run
    fleet.env["LOOM_GRACE_SECONDS"] = "1"  # its step takes longer
    run_id, holder = _begin_slow_step(ann, fleet, acme, tmp_path, wait_for)

    asked_at = time.monotonic()
    holder.send_signal(signal.SIGTERM)
    assert holder.wait(timeout=30) == 0
    (tmp_path / "go").touch()

    assert ann.socket(run_id)[-1]["kind"] == "run.succeeded"
    print(f"{time.monotonic() - asked_at:.1f} s from SIGTERM to the run's end elsewhere")  # noqa: T201
    _assert_whole(ann, run_id, tmp_path)


def test_a_worker_that_stood_still_writes_nothing_into_a_run_that_another_has_taken(
    ann: Caller, fleet: Fleet, acme: Any, tmp_path: Path, wait_for: Callable[..., None]
) -> None:
    run_id, holder = _begin_slow_step(ann, fleet, acme, tmp_path, wait_for)

    holder.send_signal(signal.SIGSTOP)
    try:
        wait_for(lambda: _steps(tmp_path) == ["first", "slow", "slow"])
    finally:
        holder.send_signal(signal.SIGCONT)
    (tmp_path / "go").touch()

    assert ann.socket(run_id)[-1]["kind"] == "run.succeeded"
    journal = ann.journal(run_id)
    wait_for(lambda: holder.said("was dropped"))
    assert ann.journal(run_id) == journal
    assert [event["seq"] for event in journal] == list(range(1, len(journal) + 1))
    assert [event["kind"] for event in journal].count("run.succeeded") == 1
    assert _steps(tmp_path).count("first") == 1
