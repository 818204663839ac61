"""A platform to measure: embedded servers in a new folder, one web process, one worker."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from bench.peers import ROOT
from loomsite import embedded
from loomsite.ports import free_port
from loomsite.supervisor import WEB, WORKER

READY_SECONDS = 90


@dataclass(frozen=True)
class Deployment:
    port: int
    token: str
    environment: dict[str, str]
    folder: Path
    pids: dict[str, int]

    @property
    def database_url(self) -> str:
        return self.environment["DATABASE_URL"]

    @property
    def redis_url(self) -> str:
        return self.environment["REDIS_URL"]


@contextmanager
def deployed(*, with_worker: bool = True, **more: str) -> Iterator[Deployment]:
    """The platform as `make run` starts it, without the demo's data folder; `more` is for its environment."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="loom-bench-"))
        folder.chmod(0o711)  # the servers' user passes through
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(embedded.remove, folder)
        servers = embedded.start(folder)
        environment = {
            **{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
            "LOOM_DATA_DIR": str(folder),
            "DATABASE_URL": servers.database_url,
            "DATABASE_OWNER_URL": servers.database_owner_url,
            "REDIS_URL": servers.redis_url,
            "LOOM_MODULES": "bench.programs,examples.intake",
            "LOOM_MODEL": "echo",
            **more,
        }
        prepared = json.loads(_output(["manage.py", "prepare"], environment))
        port = free_port()
        web = stack.enter_context(
            process(
                "web", ["-m", "uvicorn", "loomsite.asgi:application", *WEB, "--port", str(port)], environment, folder
            )
        )
        processes = {"web": web}
        if with_worker:
            words = ["-m", "celery", "-A", "loomsite", "worker", *WORKER]
            processes["worker"] = stack.enter_context(process("worker", words, environment, folder))
        pids = {name: each.pid for name, each in processes.items()}
        made = Deployment(port, prepared["api_key"], environment, folder, pids)
        _wait_until_ready(made, tuple(processes.values()))
        yield made


@contextmanager
def process(
    name: str, words: Sequence[str], environment: dict[str, str], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{name}.log").open("ab") as log:
        started = subprocess.Popen(
            [sys.executable, *words], cwd=ROOT, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(timeout=15)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _output(words: Sequence[str], environment: dict[str, str]) -> str:
    return subprocess.check_output(
        [sys.executable, *words], cwd=ROOT, env=environment, text=True, stderr=subprocess.DEVNULL
    )


def _wait_until_ready(made: Deployment, processes: Sequence[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not _is_ready(made.port):
        if any(process.poll() is not None for process in processes) or time.monotonic() > deadline:
            logs = "\n".join(log.read_text()[-2000:] for log in made.folder.glob("*.log"))
            raise RuntimeError(f"the platform does not start:\n{logs}")
        time.sleep(0.1)


def _is_ready(port: int) -> bool:
    try:
        return bool(urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).status == 200)
    except (URLError, OSError):
        return False
