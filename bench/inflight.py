"""Many runs that wait for a slow model at once, in one worker process: how long they take, and how much memory each."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from bench.deployment import Deployment, cpu_seconds, deployed
from bench.measure import Report
from bench.peers import ROOT
from bench.web import Client

TIMES_THE_MODEL, KIB_A_RUN = 1.5, 100.0
PATIENCE_SECONDS = 120
_CLIENTS = 8


def measure(*, quick: bool = False) -> Report:
    report = Report("inflight")
    runs, seconds = (300, 6.0) if quick else (1000, 20.0)  # as long as a model thinks that is called slow
    with _slow_model(seconds) as url:
        model = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none", "LOOM_WORKER_CONCURRENCY": str(runs)}
        with deployed(**model) as platform:
            asyncio.run(_measure(report, platform, runs, seconds))
    return report


async def _measure(report: Report, platform: Deployment, runs: int, seconds: float) -> None:
    client = Client(platform.port, platform.token)
    await client.post("/api/v1/agents", {"slug": "slow", "spec": {"instructions": "Answer.", "model": "gpt-4o"}})
    await _start(platform, 2 * _CLIENTS)  # what is loaded at first use is no run's
    await _ended(platform, 2 * _CLIENTS)
    worker = platform.pids["worker"]
    before, used = _resident_kib(worker), cpu_seconds(worker)
    os.kill(worker, signal.SIGSTOP)  # the time begins when all are accepted
    await _start(platform, runs)
    began = time.perf_counter()
    os.kill(worker, signal.SIGCONT)
    ended = asyncio.ensure_future(_ended(platform, 2 * _CLIENTS + runs))
    peak, together = before, 0
    while not ended.done():
        await asyncio.sleep(0.1)
        peak, together = max(peak, _resident_kib(worker)), max(together, await asyncio.to_thread(_running, platform))
    took = time.perf_counter() - began
    ended.result()
    goal: dict[str, Any] = {"beside": f"the model's {seconds:g} s", "ratio": took / seconds}
    report.add(f"{runs} runs of {seconds:g} s each, all", "loom", [took], "s", goal=TIMES_THE_MODEL * seconds, **goal)
    report.add("memory of each run in flight", "loom", [(peak - before) / runs], "KiB", goal=KIB_A_RUN)
    report.add("in flight at once", "loom", [together], "runs", goal=runs * 0.95, more_is_better=True)
    report.add("processor of the worker, each run", "loom", [1000 * (cpu_seconds(worker) - used) / runs], "ms")
    await client.aclose()


async def _start(platform: Deployment, runs: int) -> None:
    async def some() -> None:
        client = Client(platform.port, platform.token)
        for _ in range(runs // _CLIENTS):
            await client.post("/api/v1/runs", {"agent": "slow", "input": "How is the weather in Paris?"})
        await client.aclose()

    await asyncio.gather(*(some() for _ in range(_CLIENTS)))


async def _ended(platform: Deployment, runs: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (counts := await asyncio.to_thread(_counts, platform)).get("succeeded", 0) < runs:
        if counts.get("failed") or time.monotonic() > deadline:
            raise RuntimeError(f"{runs} runs should have succeeded, and are {counts}: {_an_error(platform)}")
        await asyncio.sleep(0.05)


def _counts(platform: Deployment) -> dict[str, int]:
    return dict(_query(platform, "SELECT status, count(*) FROM agents_run GROUP BY status"))


def _running(platform: Deployment) -> int:
    return _counts(platform).get("running", 0)


def _an_error(platform: Deployment) -> object:
    return _query(platform, "SELECT error FROM agents_run WHERE error IS NOT NULL LIMIT 1")


def _query(platform: Deployment, query: Any) -> list[Any]:
    """As the scheduler, who sees the runs of all tenants."""
    with psycopg.connect(platform.database_url) as connection:
        connection.execute("SELECT set_config('loom.scope', 'scheduler', true)")
        return connection.execute(query).fetchall()


def _resident_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS:")))


@contextmanager
def _slow_model(seconds: float) -> Iterator[str]:
    words = [sys.executable, "-m", "bench.openai_stub", str(seconds)]
    process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(timeout=10)
