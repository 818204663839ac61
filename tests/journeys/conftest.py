"""The platform's processes, really started on the tests' servers, and clients as anybody would write them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import httpx2
import pytest
import websockets.sync.client

ROOT = Path(__file__).parents[2]
MODULES = "tests.journeys.programs"
WEB = ("-m", "uvicorn", "loomsite.asgi:application", "--log-level", "warning", "--timeout-graceful-shutdown", "2")
WORKER = (
    "-m", "celery", "-A", "loomsite", "worker", "--pool", "threads", "--concurrency", "4", "--without-gossip",
    "--without-mingle", "--without-heartbeat",
)  # fmt: skip


class Process(subprocess.Popen[bytes]):
    """A process of the platform, with its output in a file."""

    def __init__(self, words: tuple[str, ...], log: Path, env: dict[str, str]) -> None:
        self.log = log
        with log.open("wb") as out:
            super().__init__([sys.executable, *words], cwd=ROOT, env=env, stdout=out, stderr=out)

    def said(self, words: str) -> bool:
        assert self.poll() is None, f"it ended:\n{self.log.read_text()}"
        return words in self.log.read_text()

    def end(self) -> None:
        if self.poll() is None:
            self.send_signal(signal.SIGTERM)
            try:
                self.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill()
                self.wait()


@dataclass
class Fleet:
    """Web processes and workers of one test or module. It ends what it began, and nothing else."""

    folder: Path
    wait_for: Callable[..., None]
    env: dict[str, str] = field(default_factory=dict)
    begun: list[Process] = field(default_factory=list)

    def web(self) -> str:
        """Start a web process; its address."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        process = self._start(*WEB, "--port", str(port))
        self.wait_for(lambda: _answers(f"http://127.0.0.1:{port}/healthz", process))
        return f"127.0.0.1:{port}"

    def worker(self) -> Process:
        """Start a worker, and wait until it takes work."""
        return self.workers(1)[0]

    def workers(self, count: int) -> list[Process]:
        processes = [self.start_worker() for _ in range(count)]
        for process in processes:
            self.wait_for(partial(process.said, " ready."))
        return processes

    def start_worker(self) -> Process:
        return self._start(*WORKER, "-n", f"journey-{len(self.begun)}@%h")

    def end(self) -> None:
        for process in self.begun:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.begun:
            process.end()

    def _start(self, *words: str) -> Process:
        env = {**os.environ, "LOOM_MODULES": MODULES, **self.env}
        self.begun.append(Process(words, self.folder / f"process-{len(self.begun)}.log", env))
        return self.begun[-1]


def _answers(address: str, process: Process) -> bool:
    assert process.poll() is None, process.log.read_text()
    try:
        return bool(urlopen(address, timeout=5).status == 200)
    except (URLError, ConnectionError):
        return False


@pytest.fixture(scope="module")
def module_fleet(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Fleet]:
    """Processes that the tests of a module share."""
    fleet = Fleet(tmp_path_factory.mktemp("fleet"), _wait_for())
    yield fleet
    fleet.end()


@pytest.fixture
def fleet(tmp_path: Path, django_db_setup: None) -> Iterator[Fleet]:
    """Processes of one test."""
    fleet = Fleet(tmp_path, _wait_for())
    yield fleet
    fleet.end()


def _wait_for() -> Callable[..., None]:
    from tests.platform import _wait_for as wait  # Django is set up by now

    return wait


@dataclass
class Caller:
    """A program of a tenant's that uses the platform over the network."""

    address: str
    token: str

    @property
    def http(self) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx2.Client(base_url=f"http://{self.address}", headers=headers, timeout=30, trust_env=False)

    def start(self, agent: str, input: Any, **more: Any) -> str:
        with self.http as http:
            response = http.post("/api/v1/runs", json={"agent": agent, "input": input, **more})
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def run(self, run_id: str) -> dict[str, Any]:
        with self.http as http:
            return dict(http.get(f"/api/v1/runs/{run_id}").raise_for_status().json())

    def journal(self, run_id: str) -> list[dict[str, Any]]:
        with self.http as http:
            events = http.get(f"/api/v1/runs/{run_id}/events", params={"limit": 1000}).raise_for_status().json()
        return list(events["items"])

    def socket(self, run_id: str, after: int = 0, limit: int | None = None) -> list[dict[str, Any]]:
        """What a WebSocket says until it closes, or so many messages of it."""
        messages: list[dict[str, Any]] = []
        with self.connect(f"/ws/runs/{run_id}?after={after}") as socket:
            for message in socket:
                messages.append(json.loads(message))
                if len(messages) == limit:
                    break
        return messages

    def connect(self, path: str) -> websockets.sync.client.ClientConnection:
        headers = {"Authorization": f"Bearer {self.token}"}
        return websockets.sync.client.connect(f"ws://{self.address}{path}", additional_headers=headers, proxy=None)

    def sse(self, run_id: str, last_event_id: int | None = None, limit: int | None = None) -> list[dict[str, Any]]:
        """What an event stream says until it ends, or so many numbered events of it."""
        headers = {"Accept": "text/event-stream"}
        if last_event_id is not None:
            headers["Last-Event-ID"] = str(last_event_id)
        events: list[dict[str, Any]] = []
        with self.http as http, http.sse(f"/api/v1/runs/{run_id}/events", headers=headers) as stream:
            for frame in stream:
                if not frame.data:
                    continue
                event = json.loads(frame.data)
                assert frame.event == event["kind"]
                assert event["seq"] is None or int(frame.id) == event["seq"]
                events.append(event)
                if limit is not None and len(lines(events)) == limit:
                    break
        return events


def offer(place: Any, slug: str, spec: dict[str, Any]) -> None:
    """Make an agent of the tenant's with exactly this specification."""
    from agents import services
    from agents.core.registry import registry

    registry.load([MODULES])
    with place.scope():
        services.create_agent(tenant=place.tenant, slug=slug, spec=spec, by="test")


def lines(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of the journal among what a watcher saw, without the live text."""
    return [event for event in events if event["seq"] is not None]
