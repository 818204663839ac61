"""One command brings the whole platform up and takes it down again, whatever ends it.

The tests share a data folder and run in order: the first one sets up, the others find what it made.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

from loomsite import embedded
from loomsite.env import ROOT

PATIENCE_SECONDS = 240


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("up") / "var"
    yield folder
    embedded.remove(folder)


@pytest.fixture
def up(data_dir: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `manage.py up` with its output in a file beside the data."""
    begun: list[subprocess.Popen[str]] = []
    cleared = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "LOOM_SECRET_KEY", "LOOM_MASTER_KEY")

    def start(*options: str) -> subprocess.Popen[str]:
        env = {name: value for name, value in os.environ.items() if name not in cleared}
        env["LOOM_DATA_DIR"] = str(data_dir)
        words = [sys.executable, "manage.py", "up", *options]
        with output(data_dir).open("w") as out:
            begun.append(subprocess.Popen(words, cwd=ROOT, env=env, stdout=out, stderr=out, text=True))
        return begun[-1]

    yield start
    for process in begun:
        with process:
            process.terminate()


def output(data_dir: Path) -> Path:
    return data_dir.parent / "output"


def until(condition: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def processes_of(data_dir: Path) -> list[str]:
    """Everything that runs for this data folder: it is in the environment, on the command line or underfoot."""
    found = []
    for process in psutil.process_iter():
        try:
            with process.oneshot():
                if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                    continue
                about = [*process.cmdline(), process.cwd(), process.environ().get("LOOM_DATA_DIR", "")]
        except psutil.Error:
            continue
        if any(str(data_dir) in word for word in about):
            found.append(" ".join(about))
    return found


def is_serving(process: subprocess.Popen[str], data_dir: Path) -> bool:
    return until(
        lambda: process.poll() is not None or "Ctrl-C stops it" in output(data_dir).read_text(), PATIENCE_SECONDS
    )


def test_the_demo_runs_to_its_answer_and_leaves_nothing_behind(
    up: Callable[..., subprocess.Popen[str]], data_dir: Path
) -> None:
    code = up("--exit-after-demo").wait(PATIENCE_SECONDS)

    said = output(data_dir).read_text()
    assert code == 0, said
    for words in ("run.started", "tool.completed", "run.succeeded", "succeeded: ", "operator", "password: "):
        assert words in said
    assert list((data_dir / "tickets").glob("*.json"))
    assert processes_of(data_dir) == []


def test_the_demo_runs_without_a_model_and_says_so(
    up: Callable[..., subprocess.Popen[str]], data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "LOOM_MODEL", "echo")

    code = up("--exit-after-demo").wait(PATIENCE_SECONDS)

    said = output(data_dir).read_text()
    assert code == 0, said
    assert said.index("WARNING: there is no model, only an echo") < said.index("run.started")
    assert "run.succeeded" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything_within_ten_seconds(
    number: signal.Signals, up: Callable[..., subprocess.Popen[str]], data_dir: Path
) -> None:
    process = up("--no-demo")
    assert is_serving(process, data_dir)
    assert process.poll() is None, output(data_dir).read_text()
    port = json.loads((data_dir / "up.json").read_text())["port"]
    assert httpx2.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200

    process.send_signal(number)

    assert process.wait(10) == 0
    assert processes_of(data_dir) == []


def test_a_second_one_beside_it_is_refused(up: Callable[..., subprocess.Popen[str]], data_dir: Path) -> None:
    first = up("--no-demo")
    assert is_serving(first, data_dir)

    second = up("--no-demo")

    assert second.wait(PATIENCE_SECONDS) == 1
    assert f"Loom already runs here (process {first.pid}, http://127.0.0.1:" in output(data_dir).read_text()
    assert first.poll() is None


def test_nothing_outlives_a_supervisor_that_is_killed(up: Callable[..., subprocess.Popen[str]], data_dir: Path) -> None:
    process = up("--no-demo")
    assert is_serving(process, data_dir)
    assert processes_of(data_dir) != []

    process.kill()

    assert until(lambda: not processes_of(data_dir), 20), processes_of(data_dir)


def test_a_port_that_is_taken_is_named(up: Callable[..., subprocess.Popen[str]], data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        assert up("--no-demo", "--port", str(port)).wait(PATIENCE_SECONDS) == 1

    assert f"port {port} is taken" in output(data_dir).read_text()


def test_a_wrong_value_of_the_environment_is_one_sentence(
    up: Callable[..., subprocess.Popen[str]], data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "LOOM_PORT", "eight thousand")

    assert up("--no-demo").wait(PATIENCE_SECONDS) == 1

    said = output(data_dir).read_text()
    assert said.startswith("loom: LOOM_PORT must be a port from 1 to 65535, not 'eight thousand': ")
    assert said.count("\n") == 1
