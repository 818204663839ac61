"""Somebody ends a run that a worker has in hand: it stops, and what its tools have done is undone."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.conftest import Caller, Fleet, Process, offer


@pytest.fixture
def ann(fleet: Fleet, acme: Any, committed_db: None, tmp_path: Path) -> Caller:
    fleet.env |= {"LOOM_TEST_FOLDER": str(tmp_path), "LOOM_LEASE_SECONDS": "2"}
    offer(acme, "booker", {"program": "booker"})
    return Caller(fleet.web(), acme.token)


def _steps(folder: Path) -> list[str]:
    file = folder / "steps"
    return file.read_text().split() if file.exists() else []


def _begin(ann: Caller, fleet: Fleet, folder: Path, wait_for: Callable[..., None]) -> tuple[str, Process]:
    worker = fleet.worker()
    run_id = ann.start("booker", "book the red room")
    wait_for(lambda: "pondering" in _steps(folder))
    # That the room is booked is on its way to the journal by now; nobody waits for it before he ponders.
    wait_for(lambda: any(event["kind"] == "tool.completed" for event in ann.journal(run_id)))
    return run_id, worker


def _cancel(ann: Caller, run_id: str, **said: Any) -> str:
    with ann.http as http:
        return str(http.post(f"/api/v1/runs/{run_id}/cancel", json=said).raise_for_status().json()["status"])


def test_a_run_in_hand_stops_and_what_it_did_is_undone(
    ann: Caller, fleet: Fleet, tmp_path: Path, wait_for: Callable[..., None]
) -> None:
    run_id, worker = _begin(ann, fleet, tmp_path, wait_for)

    asked_at = time.monotonic()
    assert _cancel(ann, run_id, reason="the guest is ill", compensate=True) == "cancelling"
    wait_for(lambda: ann.run(run_id)["status"] == "cancelled")
    print(f"{time.monotonic() - asked_at:.1f} s from the request to the end")  # noqa: T201

    assert _steps(tmp_path) == ["booked:red", "pondering", "freed:red:number-1"]
    last = ann.journal(run_id)[-1]
    assert (last["kind"], last["data"]["undone"]) == ("run.cancelled", ["turn:1/tool:call_1"])
    assert worker.poll() is None


def test_a_run_whose_worker_dies_before_it_has_stopped_is_ended_by_another(
    ann: Caller, fleet: Fleet, tmp_path: Path, wait_for: Callable[..., None]
) -> None:
    run_id, worker = _begin(ann, fleet, tmp_path, wait_for)
    worker.kill()
    worker.wait()
    assert _cancel(ann, run_id, compensate=True) == "cancelling"

    fleet.worker()
    wait_for(lambda: ann.run(run_id)["status"] == "cancelled")

    assert _steps(tmp_path) == ["booked:red", "pondering", "freed:red:number-1"]


def test_without_the_wish_nothing_is_undone(
    ann: Caller, fleet: Fleet, tmp_path: Path, wait_for: Callable[..., None]
) -> None:
    run_id, _ = _begin(ann, fleet, tmp_path, wait_for)

    _cancel(ann, run_id)
    wait_for(lambda: ann.run(run_id)["status"] == "cancelled")

    assert _steps(tmp_path) == ["booked:red", "pondering"]
