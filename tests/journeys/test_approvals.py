"""A gated call waits for a person, for as long as it takes and across every restart, and holds nothing meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agents.models import Run
from tests.journeys.conftest import Caller, Fleet, Process, offer

WAITING = int(os.environ.get("LOOM_TEST_WAITING", "100"))  # 1000 for the figure of the promise


@pytest.fixture
def caller(fleet: Fleet, acme: Any, committed_db: None, tmp_path: Path) -> Callable[[], Caller]:
    """A program of the tenant's, at a web process that is started now."""
    fleet.env["LOOM_TEST_FOLDER"] = str(tmp_path)
    offer(acme, "payer", {"program": "payer"})
    return lambda: Caller(fleet.web(), acme.token)


def _decide(caller: Caller, approval_id: str, decision: str, **more: Any) -> dict[str, Any]:
    with caller.http as http:
        shown = http.get(f"/api/v1/approvals/{approval_id}").raise_for_status().json()
        said = {"decision": decision, "args_hash": shown["args_hash"], **more}
        return dict(http.post(f"/api/v1/approvals/{approval_id}/decide", json=said).raise_for_status().json())


def _kinds(caller: Caller, run_id: str) -> list[str]:
    return [event["kind"] for event in caller.journal(run_id)]


@pytest.mark.parametrize(
    ("decision", "more", "paid", "output"),
    [
        ("approve", {}, ["5"], "The clerk says: paid 5"),
        ("edit", {"args": {"amount": 3}}, ["3"], "The clerk says: paid 3"),
        ("reject", {"reason": "not today"}, [], "The clerk says: DENIED: pay: approval required; not today"),
    ],
)
def test_a_gated_call_waits_across_a_restart_of_everything_and_goes_on_when_it_is_decided(
    caller: Callable[[], Caller], fleet: Fleet, wait_for: Callable[..., None], tmp_path: Path,
    decision: str, more: dict[str, Any], paid: list[str], output: str,
) -> None:  # fmt: skip
    ann = caller()
    fleet.worker()
    run_id = ann.start("payer", "pay the bill")
    wait_for(lambda: ann.run(run_id)["status"] == "waiting")
    [approval_id] = ann.run(run_id)["waiting_for"]
    fleet.end()
    ann = caller()

    decided = _decide(ann, approval_id, decision, **more)
    assert ann.run(run_id)["status"] == "queued"  # there is no worker yet
    fleet.worker()
    wait_for(lambda: ann.run(run_id)["status"] == "succeeded")

    run, events = ann.run(run_id), ann.journal(run_id)
    file = tmp_path / "paid"
    lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    assert (run["output"], [amount for amount, _ in lines]) == (output, paid)
    assert all(key == f"{run_id}:turn:1/tool:call_1" for _, key in lines)
    assert decided["decisions"][0]["by"].startswith("key:")
    assert [event["seq"] for event in events] == list(range(1, run["last_seq"] + 1))
    story = ["approval.requested", "run.waiting", "approval.decided", "run.resumed"]
    assert [kind for kind in _kinds(ann, run_id) if kind in story] == story


@pytest.mark.parametrize(
    ("decision", "more", "times", "output"),
    [
        ("respond", {"response": "the bank shows it"}, 1, "The bank says: the bank shows it"),
        ("approve", {}, 2, "The bank says: wired 5"),
    ],
)
def test_a_call_that_may_have_happened_when_its_worker_died_is_put_before_a_person(
    caller: Callable[[], Caller], fleet: Fleet, acme: Any, wait_for: Callable[..., None], tmp_path: Path,
    decision: str, more: dict[str, Any], times: int, output: str,
) -> None:  # fmt: skip
    fleet.env["LOOM_LEASE_SECONDS"] = "2"
    offer(acme, "wirer", {"program": "wirer"})
    ann = caller()
    worker = fleet.worker()
    run_id = ann.start("wirer", "wire it")
    wait_for((tmp_path / "steps").exists)
    worker.kill()
    worker.wait()
    (tmp_path / "go").touch()

    fleet.worker()
    wait_for(lambda: ann.run(run_id)["status"] == "waiting")
    [approval_id] = ann.run(run_id)["waiting_for"]
    assert (tmp_path / "steps").read_text().split() == ["wired"]
    assert _decide(ann, approval_id, decision, **more)["kind"] == "reconcile"
    wait_for(lambda: ann.run(run_id)["status"] == "succeeded")

    assert ann.run(run_id)["output"] == output
    assert (tmp_path / "steps").read_text().split() == ["wired"] * times


def test_runs_that_wait_hold_no_thread_no_connection_and_no_place_in_a_worker(
    caller: Callable[[], Caller], fleet: Fleet, acme: Any, wait_for: Callable[..., None]
) -> None:
    ann = caller()
    worker = fleet.worker()
    first = ann.start("payer", "pay")
    wait_for(lambda: ann.run(first)["status"] == "waiting")

    for _ in range(WAITING):
        acme.run("payer", "pay")

    def waiting() -> int:
        with acme.scope():
            return int(Run.objects.filter(status=Run.Status.WAITING).count())

    wait_for(lambda: waiting() == WAITING + 1, seconds=180)
    before = _threads(worker)
    with acme.scope():
        assert not Run.objects.exclude(lease_owner="", lease_until=None).exclude(lease_until=None).exists()
    # What the worker needed while it worked is a matter of its pool, and not of how many wait.
    assert before <= 40
    assert _connections(worker) <= 12


def _threads(process: Process) -> int:
    return len(os.listdir(f"/proc/{process.pid}/task"))


def _connections(process: Process) -> int:
    """The database's sessions that begin at a socket of this process."""
    inodes = {os.readlink(link)[8:-1] for link in Path(f"/proc/{process.pid}/fd").iterdir() if _is_socket(link)}
    ports = {
        int(line.split()[1].split(":")[1], 16)
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[9] in inodes
    }
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as connection:
        found = connection.execute("SELECT client_port FROM pg_stat_activity WHERE client_port IS NOT NULL").fetchall()
    return sum(port in ports for (port,) in found)


def _is_socket(link: Path) -> bool:
    try:
        return os.readlink(link).startswith("socket:")
    except FileNotFoundError:
        return False
