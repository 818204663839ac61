"""The processes that the supervisor looks after: real ones, that do little."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from loomsite.children import Child, Family, Guardian

SLEEP = "import time; time.sleep(600)"
IGNORE = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
FAIL = "import sys; sys.exit('no such table: ann')"
WITH_CHILD = (
    "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "print(p.pid, flush=True); time.sleep(600)"
)


@pytest.fixture
def guardian(tmp_path: Path) -> Iterator[Guardian]:
    guardian = Guardian(tmp_path)
    yield guardian
    guardian.dismiss()


@pytest.fixture
def bear(tmp_path: Path, guardian: Guardian) -> Callable[[str], Child]:
    return lambda program: Child("ann", ("-c", program), log=tmp_path / "ann.log", env={}, guardian=guardian)


def until(condition: Callable[[], object], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # nobody may have reaped an orphan yet
    except psutil.NoSuchProcess:
        return True


def test_a_child_that_died_is_started_again_and_its_last_words_are_shown(bear: Callable[[str], Child]) -> None:
    said: list[str] = []
    family = Family(said.append)
    child = bear(FAIL)
    family.add(child)

    assert until(lambda: family.tend() or child.deaths >= 2)

    assert "ann ended (exit code 1); it starts again in 0.5 s" in said[0]
    assert "no such table: ann" in said[1]
    assert "in 1 s" in said[2]
    assert family.worst() is child
    family.end(1)


def test_a_child_ends_when_asked(bear: Callable[[str], Child]) -> None:
    child = bear(SLEEP)
    pid = child.start().pid

    child.end(5)

    assert child.pid is None
    assert is_gone(pid)


def test_a_child_that_does_not_listen_is_killed(bear: Callable[[str], Child]) -> None:
    child = bear(IGNORE)
    pid = child.start().pid
    assert until(lambda: "up" in child.tail())

    child.end(0.2)

    assert is_gone(pid)


def test_what_a_child_started_goes_with_it(bear: Callable[[str], Child]) -> None:
    child = bear(WITH_CHILD)
    child.start()
    assert until(lambda: child.tail().strip())
    grandchild = int(child.tail())

    child.end(5)

    assert until(lambda: is_gone(grandchild))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_children_do_not_outlive_a_supervisor_that_was_killed(tmp_path: Path, number: signal.Signals) -> None:
    supervisor = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import pathlib, sys, time\n"
            "from loomsite.children import Child, Guardian\n"
            f"folder = pathlib.Path({str(tmp_path)!r})\n"
            f"child = Child('ann', ('-c', {SLEEP!r}), log=folder / 'ann.log', env={{}}, guardian=Guardian(folder))\n"
            "print(child.start().pid, flush=True)\n"
            "time.sleep(600)",
        ],
        stdout=subprocess.PIPE,
    )
    with supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        assert not is_gone(pid)

        supervisor.send_signal(number)

        assert until(lambda: is_gone(pid))


def test_a_guardian_that_is_dismissed_harms_nobody(tmp_path: Path) -> None:
    guardian = Guardian(tmp_path)
    child = Child("ann", ("-c", SLEEP), log=tmp_path / "ann.log", env={}, guardian=guardian)
    with child.start() as process:
        guardian.dismiss()

        assert child.death() is None
        process.kill()
