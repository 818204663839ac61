"""What happens because its time has come: runs that begin later, and runs that are too late."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from agents import services, worker
from agents.models import Run
from agents.services.due import begin_due_runs
from governance import tenancy
from loom.events import Record

RUNS = "/api/v1/runs"


def _soon(**delta: float) -> str:
    return (timezone.now() + timedelta(**delta)).isoformat()


def _its_time_comes(run: Run, column: str) -> None:
    with tenancy.scheduler_scope():
        Run.objects.filter(pk=run.pk).update(**{column: timezone.now() - timedelta(days=1)})


def _claimed() -> set[Any]:
    with tenancy.scheduler_scope():
        return {claim.run_id for claim in services.claim_runs(owner="test", limit=1000, lease_seconds=600)}


def _status(place: Any, run: Run) -> str:
    with place.scope():
        return str(Run.objects.get(pk=run.pk).status)


def _journal(place: Any, run: Run) -> list[tuple[int, str]]:
    with place.scope():
        return [(event.seq, event.kind) for event in services.read_events(run.pk)]


def test_a_run_begins_when_its_time_has_come_and_not_before(acme: Any) -> None:
    acme.agent()
    run = acme.run(not_before=timezone.now() + timedelta(hours=1))

    services.tick()
    assert run.pk not in _claimed()
    _its_time_comes(run, "not_before")
    services.tick()

    assert run.pk in _claimed()


def test_a_run_shows_when_it_will_begin_until_it_does(acme: Any) -> None:
    acme.agent()
    begin = _soon(hours=1)

    answer = acme.client().post(RUNS, {"agent": "assistant", "input": "x", "not_before": begin}).json()

    assert answer["not_before"] == begin.replace("+00:00", "Z")
    run = Run(pk=answer["id"])
    _its_time_comes(run, "not_before")
    services.tick()
    assert acme.client().get(f"{RUNS}/{run.pk}").json()["not_before"] is None


def test_a_time_that_is_over_means_at_once(acme: Any) -> None:
    acme.agent()

    answer = acme.client().post(RUNS, {"agent": "assistant", "input": "x", "not_before": _soon(hours=-1)})

    assert (answer.status_code, answer.json()["not_before"]) == (202, None)


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"not_before": "tomorrow"}, "/not_before"),
        ({"not_before": "2027-01-01T00:00:00"}, "/not_before"),
        ({"not_before": _soon(days=367)}, "/not_before"),
        ({"not_before": _soon(hours=1), "deadline_seconds": 60}, "/deadline_seconds"),
    ],
)
def test_a_beginning_that_makes_no_sense_is_refused(acme: Any, more: dict[str, Any], pointer: str) -> None:
    acme.agent()

    answer = acme.client().post(RUNS, {"agent": "assistant", "input": "x", **more})

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert acme.client().get(RUNS).json()["items"] == []


def test_five_hundred_runs_that_wait_begin_once_each_though_two_look(acme: Any) -> None:
    acme.agent()
    waiting = {acme.run(not_before=timezone.now() + timedelta(hours=1)).pk for _ in range(500)}
    with tenancy.scheduler_scope():
        Run.objects.filter(pk__in=waiting).update(not_before=timezone.now() - timedelta(days=1))

    with tenancy.scheduler_scope():
        begun = [begin_due_runs() for _ in range(3)]

    assert begun[1:] == [0, 0]
    first, second = _claimed(), _claimed()
    assert waiting <= first | second
    assert not waiting & first & second


def test_a_queued_run_past_its_deadline_fails(acme: Any) -> None:
    acme.agent()
    run = acme.run(deadline_seconds=3600)
    _its_time_comes(run, "deadline_at")

    services.tick()

    shown = acme.client().get(f"{RUNS}/{run.pk}").json()
    assert (shown["status"], shown["finished_at"] is not None) == ("failed", True)
    assert shown["error"] == {
        "type": "DeadlineExceeded",
        "code": "deadline_exceeded",
        "message": "The run was not done by its deadline.",
        "retryable": False,
    }
    assert _journal(acme, run) == [(1, "run.started"), (2, "run.failed")]
    assert run.pk not in _claimed()


def test_a_waiting_run_past_its_deadline_fails_and_is_no_longer_its_workers(acme: Any) -> None:
    acme.agent()
    run = acme.run(deadline_seconds=3600)
    append = acme.work(run)
    append(Record(kind="run.waiting", data={}))
    _its_time_comes(run, "deadline_at")

    services.tick()

    assert _status(acme, run) == "failed"
    with pytest.raises(KeyError):  # refused: the fence has moved on
        append(Record(kind="run.succeeded", data={"output": ""}))


def test_a_run_that_is_running_or_over_is_left_to_its_worker(acme: Any) -> None:
    acme.agent()
    over = acme.run(deadline_seconds=3600)
    acme.work(over)(Record(kind="run.succeeded", data={"output": ""}))
    running = acme.run(deadline_seconds=3600)
    acme.work(running)
    for run in (running, over):
        _its_time_comes(run, "deadline_at")

    services.tick()

    assert (_status(acme, running), _status(acme, over)) == ("running", "succeeded")


def test_runs_of_several_tenants_fail_in_their_own_journals(acme: Any, globex: Any) -> None:
    runs = []
    for place in (acme, globex):
        place.agent()
        runs.append(place.run(deadline_seconds=3600))
        _its_time_comes(runs[-1], "deadline_at")

    services.tick()

    assert [_journal(place, run)[-1] for place, run in zip((acme, globex), runs, strict=True)] == [
        (2, "run.failed")
    ] * 2


def test_a_claim_says_how_long_is_left(acme: Any) -> None:
    acme.agent()
    limited, free = acme.run(deadline_seconds=3600), acme.run()

    with tenancy.scheduler_scope():
        claims = {c.run_id: c for c in services.claim_runs(owner="test", limit=1000, lease_seconds=600)}

    assert 3000 < claims[limited.pk].seconds_left <= 3600
    assert claims[free.pk].seconds_left is None


def test_a_run_has_not_begun_before_it_was_accepted(committed_db: None, acme: Any) -> None:
    """Also when who claims it opened the transaction before."""
    acme.agent()
    with tenancy.scheduler_scope():
        with ThreadPoolExecutor(1) as elsewhere:
            run = elsewhere.submit(_accepted, acme).result()
        claims = services.claim_runs(owner="test", limit=1000, lease_seconds=60)
    assert run.pk in {claim.run_id for claim in claims}

    with acme.scope():
        run = Run.objects.get(pk=run.pk)
    assert run.created_at <= run.started_at


def _accepted(place: Any) -> Run:
    try:
        return place.run()
    finally:
        connection.close()


def test_a_worker_does_what_is_due_before_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    did = []

    class Once(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            did.append("waited")
            self.set()
            return True

    monkeypatch.setattr(worker.services, "tick", lambda: did.append("ticked"))
    worker._tick(Once())

    assert did == ["ticked", "waited"]
