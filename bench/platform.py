"""What the platform does: latency and throughput of runs through REST and a worker, and how soon watchers know."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import aclosing
from datetime import datetime
from statistics import median
from typing import Any
from uuid import UUID

import psycopg
import redis
from psycopg import sql
from psycopg.types.json import Jsonb
from uuid_utils.compat import uuid7
from websockets.asyncio.client import connect

from bench import noop, programs
from bench.deployment import Deployment, cpu_seconds, deployed, process
from bench.measure import Report, percentile
from bench.peers import ROOT
from bench.web import Client

CLIENTS = 32
LATENCY_MS = 60.0
RUNS_A_SECOND = 100.0
WATCHERS = (1, 50, 200)
WATCHER_P50_MS, WATCHER_P99_MS = 25.0, 150.0
PATIENCE_SECONDS = 60
ROUNDS = 3
_OVER = ("succeeded", "failed", "cancelled")
_INPUT = "Tell me how the weather is in Paris today"


def measure(*, quick: bool = False, starts: bool = False) -> Report:
    report = Report("platform")
    with deployed() as platform:
        asyncio.run(_platform(report, platform, quick=quick))
        _beside(report, platform)
    if starts:
        _starts(report)
    return report


async def _platform(report: Report, platform: Deployment, *, quick: bool) -> None:
    client = Client(platform.port, platform.token)
    await client.post("/api/v1/agents", {"slug": "echo", "spec": {"instructions": "Repeat.", "model": "echo"}})
    await client.post("/api/v1/agents", {"slug": "beats", "spec": {"program": "bench-beats"}})
    for _ in range(20):
        await _to_the_end(client, platform)
    await _latency(report, client, platform, 50 if quick else 200)
    ours, floor = [], []
    for number in range(ROUNDS):  # in turn, so that a busy moment of the machine meets both
        told = report if number == ROUNDS - 1 else Report("earlier rounds")
        ours.append(await _throughput(told, platform, 2.0 if quick else 4.0))
        floor.append(await asyncio.to_thread(_plain_rows, platform, 1.0 if quick else 2.0))
    goal: dict[str, Any] = {"beside": "floor", "ratio": median(ours) / median(floor), "goal": RUNS_A_SECOND}
    report.add(f"runs with {CLIENTS} clients", "loom", ours, "runs/s", more_is_better=True, **goal)
    report.add("the same rows, by psycopg alone, 4 threads", "floor", floor, "runs/s")
    for watchers in WATCHERS[:2] if quick else WATCHERS:
        await _watch(report, client, platform, watchers)
    await client.aclose()


# --- one run at a time ------------------------------------------------------------------------------------------------


async def _latency(report: Report, client: Client, platform: Deployment, count: int) -> None:
    took, accepted = [], []
    before = _used(platform)
    for _ in range(count):
        began = time.perf_counter()
        accepted.append(1000 * (await _to_the_end(client, platform) - began))
        took.append(1000 * (time.perf_counter() - began))
    await asyncio.sleep(1)  # connections tell of their transactions once a second
    used = {name: value - before[name] for name, value in _used(platform).items()}
    floor = [await _ping(client) for _ in range(count)]
    report.add("GET /healthz", "floor of a request", floor, "ms")
    report.add("POST /runs → accepted", "loom", accepted, "ms")
    ratio = percentile(took, 0.5) / percentile(floor, 0.5)
    goal: dict[str, Any] = {"beside": "GET /healthz", "ratio": ratio, "goal": LATENCY_MS}
    report.add("POST /runs → run.succeeded over SSE, p50", "loom", [percentile(took, 0.5)], "ms", **goal)
    report.add("POST /runs → run.succeeded over SSE, p95", "loom", [percentile(took, 0.95)], "ms")
    _report_use(report, "one at a time", used, count)


async def _to_the_end(client: Client, platform: Deployment) -> float:
    """Start a run and watch it to its end; when it was accepted."""
    run = await client.post("/api/v1/runs", {"agent": "echo", "input": _INPUT})
    accepted = time.perf_counter()
    watcher = Client(platform.port, platform.token)
    async with asyncio.timeout(PATIENCE_SECONDS), aclosing(watcher.lines(f"/api/v1/runs/{run['id']}/events")) as lines:
        async for line in lines:
            if line == b"event: run.succeeded":
                break
            if line == b"event: run.failed":
                raise RuntimeError(f"run {run['id']} failed")
    await watcher.aclose()
    return accepted


async def _ping(client: Client) -> float:
    began = time.perf_counter()
    await client.get("/healthz")
    return 1000 * (time.perf_counter() - began)


# --- many runs --------------------------------------------------------------------------------------------------------


async def _throughput(report: Report, platform: Deployment, seconds: float) -> float:
    """So many clients, each starting its next run when its last one has ended; how many runs end in a second."""
    ended: dict[str, asyncio.Event] = {}
    done = 0
    took: list[float] = []
    deadline = time.perf_counter() + seconds

    async def listen() -> None:
        address = f"ws://127.0.0.1:{platform.port}/ws/tenant"
        async with connect(address, additional_headers={"Authorization": f"Bearer {platform.token}"}) as socket:
            ready.set()
            async for message in socket:
                told = json.loads(message)
                if told["status"] in _OVER:
                    ended.setdefault(told["run_id"], asyncio.Event()).set()

    async def work() -> None:
        nonlocal done
        client = Client(platform.port, platform.token)
        while time.perf_counter() < deadline:
            began = time.perf_counter()
            run = await client.post("/api/v1/runs", {"agent": "echo", "input": _INPUT})
            await _end_of(client, run["id"], ended)
            took.append(1000 * (time.perf_counter() - began))
            done += time.perf_counter() < deadline
        await client.aclose()

    ready = asyncio.Event()
    listening = asyncio.ensure_future(listen())
    await ready.wait()
    before = _used(platform)
    await asyncio.gather(*(work() for _ in range(CLIENTS)))
    used = {name: value - before[name] for name, value in _used(platform).items()}
    listening.cancel()
    report.add(f"one run with {CLIENTS} clients, p50", "loom", [percentile(took, 0.5)], "ms")
    report.add(f"one run with {CLIENTS} clients, p95", "loom", [percentile(took, 0.95)], "ms")
    _report_use(report, f"with {CLIENTS} clients", used, len(took))
    return done / seconds


def _used(platform: Deployment) -> dict[str, float]:
    """What was used up so far: unlike times, the counts do not depend on who else keeps the machine busy."""
    with psycopg.connect(platform.environment["DATABASE_OWNER_URL"], autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        transactions = connection.execute(query).fetchone()
    assert transactions is not None
    commands: Any = redis.Redis.from_url(platform.redis_url).info("stats")
    used = {f"ms of processor, {name}": 1000 * cpu_seconds(pid) for name, pid in platform.pids.items()}
    return {**used, "transactions": transactions[0], "Valkey commands": commands["total_commands_processed"]}


def _report_use(report: Report, when: str, used: dict[str, float], runs: int) -> None:
    for name, value in used.items():
        report.add(f"each run takes, {when}: {name}", "loom", [value / max(1, runs)], "")


async def _end_of(client: Client, run_id: str, ended: dict[str, asyncio.Event]) -> None:
    """Wait until the tenant's socket tells of the end; it gives hints only, so look now and then."""
    heard = ended.setdefault(run_id, asyncio.Event())
    while not heard.is_set():
        try:
            await asyncio.wait_for(heard.wait(), 2)
        except TimeoutError:
            if (await client.get(f"/api/v1/runs/{run_id}"))["status"] in _OVER:
                break
    ended.pop(run_id, None)


# --- who watches ------------------------------------------------------------------------------------------------------

_AT = re.compile(rb'"at":"([^"]+)"')


async def _watch(report: Report, client: Client, platform: Deployment, count: int) -> None:
    """From the time that the database gave a line of the journal to the time that a watcher has it."""
    run = await client.post("/api/v1/runs", {"agent": "beats", "input": "go"})
    heard: list[tuple[float, bytes]] = []

    async def watch() -> None:
        watcher = Client(platform.port, platform.token)
        joined = time.time()
        async with aclosing(watcher.lines(f"/api/v1/runs/{run['id']}/events")) as lines:
            async for line in lines:
                now = time.time()
                if line.startswith(b"data:") and now - joined > 1:  # by then all have joined
                    heard.append((now, line))
        await watcher.aclose()

    await asyncio.gather(*(watch() for _ in range(count)))
    late = [1000 * (when - _time_of(line)) for when, line in heard]
    if len(late) < count * programs.BEATS // 4:
        report.skipped[f"{count} watchers"] = f"only {len(late)} lines came"
        return
    name = f"journal → watcher, {count} watching"
    biggest = count == WATCHERS[-1]
    for share, goal in ((0.5, WATCHER_P50_MS), (0.99, WATCHER_P99_MS)):
        more = {"goal": goal} if biggest else {}
        report.add(f"{name}, p{share * 100:.0f}", "loom", [percentile(late, share)], "ms", **more)


def _time_of(line: bytes) -> float:
    found = _AT.search(line)
    assert found is not None
    return datetime.fromisoformat(found[1].decode()).timestamp()


# --- floor and peer ---------------------------------------------------------------------------------------------------


def _beside(report: Report, platform: Deployment) -> None:
    ours = next(figure for figure in report.figures if figure.unit == "runs/s").value
    tasks = _plain_tasks(platform, 2000)
    report.add("Celery tasks that do nothing", "celery", [tasks], "tasks/s", beside="loom", ratio=tasks / ours)


def _plain_rows(platform: Deployment, seconds: float) -> float:
    """A run's rows (run, its events, its audit entry) written again in one transaction each."""
    with psycopg.connect(platform.database_url) as connection:
        tenant_id = _tenant_of(connection, platform.token)
        _enter(connection, tenant_id)
        query = "SELECT * FROM {} WHERE {} = %s"
        run = _row(connection, "SELECT * FROM agents_run WHERE status = 'succeeded' ORDER BY id DESC LIMIT 1", ())[0]
        events = _row(connection, query.format("agents_runevent", "run_id"), (run["id"],))
        entries = _row(connection, query.format("audit_entry", "subject"), (f"run:{run['id']}",))
    written, deadline = [0] * 4, time.perf_counter() + seconds

    def write(place: int) -> None:
        with psycopg.connect(platform.database_url) as connection:
            while time.perf_counter() < deadline:
                with connection.transaction():
                    _enter(connection, tenant_id)
                    run_id = uuid7()
                    _insert(connection, "agents_run", {**run, "id": run_id})
                    for event in events:
                        _insert(connection, "agents_runevent", {**event, "run_id": run_id})
                    for entry in entries:
                        _insert(connection, "audit_entry", entry)
                written[place] += 1

    threads = [threading.Thread(target=write, args=(place,)) for place in range(len(written))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(written) / seconds


def _tenant_of(connection: psycopg.Connection[Any], token: str) -> UUID:
    prefix = token.split("_")[1]
    connection.execute("SELECT set_config('loom.api_key', %s, true)", [prefix])
    found = connection.execute("SELECT tenant_id FROM governance_apikey WHERE prefix = %s", [prefix]).fetchone()
    assert found is not None
    return found[0]  # type: ignore[no-any-return]


def _enter(connection: psycopg.Connection[Any], tenant_id: UUID) -> None:
    connection.execute("SELECT set_config('loom.tenant', %s, true)", [str(tenant_id)])


def _row(connection: psycopg.Connection[Any], query: Any, values: Sequence[Any]) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        return cursor.execute(query, values).fetchall()


def _insert(connection: psycopg.Connection[Any], table: str, row: dict[str, Any]) -> None:
    """Insert a copy: what the database numbers itself is left to it."""
    values = {name: value for name, value in row.items() if name != "id" or isinstance(value, UUID)}
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(",").join(map(sql.Identifier, values)),
        sql.SQL(",").join(sql.Placeholder() * len(values)),
    )
    connection.execute(statement, [_adapted(name, value) for name, value in values.items()])


def _adapted(name: str, value: Any) -> Any:
    if name in {"waiting_for", "blobs"}:  # arrays
        return value
    is_json = isinstance(value, dict | list) or name in {"input", "data", "metadata", "payload"}
    return Jsonb(value) if is_json else value


def _plain_tasks(platform: Deployment, count: int) -> float:
    """How many tasks a second a worker like ours gets through, from the first `delay` to the end of the last."""
    client = redis.Redis.from_url(platform.redis_url)
    noop.app.conf.broker_url = platform.redis_url
    words = ["-m", "celery", "-A", "bench.noop", "worker", "--pool", "threads", "--concurrency", "4", "-n", "noop@%h"]
    words += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with process("noop", words, platform.environment, platform.folder):
        _send(client, 1)  # until then it starts
        began = time.perf_counter()
        _send(client, count)
        return count / (time.perf_counter() - began)


def _send(client: Any, count: int) -> None:
    for number in range(count):
        noop.noop.delay(is_last=number == count - 1)
    if client.blpop(noop.DONE, timeout=60) is None:
        raise RuntimeError("the Celery worker does not answer")


# --- starting ---------------------------------------------------------------------------------------------------------


def _starts(report: Report) -> None:
    """`make demo` twice: the first may have to install and to make the tables, the second finds everything."""
    for name in ("make demo, first", "make demo, second"):
        began = time.perf_counter()
        done = subprocess.run(["make", "demo"], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            report.skipped[name] = (done.stdout + done.stderr)[-300:]
            continue
        report.add(name, "loom", [time.perf_counter() - began], "s")
