"""Runs are cancelled in every state, with workers that live, stand still and die; nothing of them goes on."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos import drive


def _processes(words: str) -> list[int]:
    """The processes that were started with these words."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and words in (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode():
                found.append(int(entry.name))
        except (OSError, UnicodeDecodeError):
            continue
    return found


def _is(tenant: drive.Tenant, run: str, status: str) -> Callable[[], bool]:
    return lambda: tenant.statuses([run]) == {run: status}


def _in_shell(tenant: drive.Tenant, seconds: int) -> str:
    """A run in the middle of a command with processes of its own: in the background, and in another session."""
    sleep = f"sleep {seconds}"
    [run] = tenant.start("shell", [{"command": f"{sleep} & setsid {sleep} & {sleep}"}])
    drive.wait_for(lambda: len(_processes(sleep)) >= 3, "the command runs")
    return run


def test_a_queued_run_is_cancelled_at_once_and_never_begins(tenant: drive.Tenant) -> None:
    [run] = tenant.start("three-steps", [{"name": "never", "seconds": 0.1}])

    assert tenant.cancel(run) == 202
    assert tenant.statuses([run]) == {run: "cancelled"}

    tenant.arena.ready(tenant.arena.worker())
    assert set(tenant.finish(tenant.start("three-steps", [{"name": "ever", "seconds": 0.1}])).values()) == {"succeeded"}
    assert [kind for _, kind in tenant.events(run)] == ["run.started", "run.cancelled"]
    assert tenant.cancel(run) == 409


def test_what_a_cancelled_run_has_started_in_a_shell_ends_with_it(tenant: drive.Tenant) -> None:
    tenant.arena.worker()
    run = _in_shell(tenant, 31_001)

    began = time.monotonic()
    assert tenant.cancel(run) == 202
    drive.wait_for(_is(tenant, run, "cancelled"), "the run is cancelled", 20)
    took = time.monotonic() - began
    drive.wait_for(lambda: _processes("sleep 31001") == [], "its processes end", 20)

    print(f"\ncancelled in {took:.1f} s, its processes gone after {time.monotonic() - began:.1f} s")  # noqa: T201
    assert [kind for _, kind in tenant.events(run)][-2:] == ["run.cancelling", "run.cancelled"]


def test_what_a_killed_worker_has_started_ends_with_it_and_its_run_can_be_cancelled_while_it_waits(
    tenant: drive.Tenant,
) -> None:
    worker = tenant.arena.worker()
    run = _in_shell(tenant, 31_002)

    worker.send(signal.SIGKILL)
    drive.wait_for(lambda: _processes("sleep 31002") == [], "its processes end", 20)
    tenant.arena.worker()
    drive.wait_for(_is(tenant, run, "waiting"), "somebody is asked what became of the command")

    assert tenant.cancel(run) == 202
    assert tenant.statuses([run]) == {run: "cancelled"}


def test_a_run_whose_worker_dies_while_it_is_to_stop_is_ended_by_another(tenant: drive.Tenant) -> None:
    holder = tenant.arena.worker()
    [run] = tenant.start("stay", [{"name": "nobody-comes"}])
    drive.wait_for(lambda: len(tenant.events(run)) > 1, "the run has begun")

    holder.send(signal.SIGSTOP)
    assert tenant.cancel(run) == 202
    assert tenant.statuses([run]) == {run: "cancelling"}
    holder.send(signal.SIGKILL)
    tenant.arena.worker()

    assert tenant.finish([run]) == {run: "cancelled"}
    assert [kind for _, kind in tenant.events(run)].count("run.cancelled") == 1
