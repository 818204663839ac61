"""A platform to break: servers, a web process and workers of its own, and what becomes of them.

Nothing here imports Django: the platform is used by its API, and looked at in its database.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import httpx2
import psutil
import psycopg

from loomsite import embedded
from loomsite.ports import free_port
from tests.chaos.payments import Payments

ROOT = Path(__file__).parents[2]
INVARIANTS = Path(__file__).with_name("invariants.sql").read_text()
LEASE_SECONDS = 3
CONCURRENCY = 4
LONG = bool(int(os.environ.get("LOOM_CHAOS_LONG", "0")))  # `make chaos` sets it
SEED = int(os.environ.get("LOOM_CHAOS_SEED", "0")) or random.randrange(1, 2**31)
SWEEP_SECONDS = 5 if LONG else 1  # how often an idle worker looks: the suite has no time to wait for it
OVER = ("succeeded", "failed", "cancelled")
TABLES = """
CREATE TABLE chaos_count (tenant_id uuid NOT NULL, name text NOT NULL);
ALTER TABLE chaos_count ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON chaos_count USING (tenant_id = nullif(current_setting('loom.tenant', true), '')::uuid);
GRANT SELECT, INSERT ON chaos_count TO loom_app;
CREATE TABLE chaos_charge (key text NOT NULL);
GRANT SELECT ON chaos_charge TO loom_app;
"""


def pick(short: int, long: int) -> int:
    """How many: in the suite, and by `make chaos`."""
    return long if LONG else short


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s (seed {SEED})")
        time.sleep(0.05)
    return found


@dataclass
class Worker:
    """A worker process. It is the nursery's child, so whether it lives is read from /proc.

    In a long storm its number comes to another process in time: psutil tells them apart by when they began.
    """

    pid: int
    log: Path
    _process: psutil.Process | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        with suppress(psutil.NoSuchProcess):
            self._process = psutil.Process(self.pid)

    def is_alive(self) -> bool:
        if (process := self._process) is None:
            return False
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                return True
        self._process = None
        return False

    def said(self, words: str) -> bool:
        return self.log.exists() and words in self.log.read_text()

    def is_ready(self) -> bool:
        return self.said(" ready.")

    def send(self, number: signal.Signals) -> None:
        with suppress(psutil.NoSuchProcess):
            if process := self._process:
                process.send_signal(number)

    def is_at_fault(self) -> bool:
        """Whether it has come to where it was to break."""
        return self.said("fault at ")

    def ended(self, seconds: float = 30) -> None:
        wait_for(lambda: not self.is_alive(), f"worker {self.pid} ends", seconds)


@dataclass
class Tenant:
    """A tenant by its key."""

    arena: Arena
    slug: str
    token: str
    id: str

    def http(self, seconds: float = 30) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx2.Client(
            base_url=f"http://{self.arena.address}", headers=headers, timeout=seconds, trust_env=False, verify=False
        )

    def start(self, program: str, inputs: Iterable[Mapping[str, Any]], **more: Any) -> list[str]:
        """Start a run for each input."""
        ids = []
        with self.http() as http:
            for value in inputs:
                response = http.post("/api/v1/runs", json={"agent": program, "input": value, **more})
                assert response.status_code == 202, response.text
                ids.append(str(response.json()["id"]))
        return ids

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.arena.database("DATABASE_URL") as cursor:
            cursor.execute("SELECT set_config('loom.tenant', %s, false)", [self.id])
            return cursor.execute(sql, values or None).fetchall()

    def cancel(self, run_id: str) -> int:
        """Ask for a run's end; the HTTP status of the answer."""
        with self.http() as http:
            return int(http.post(f"/api/v1/runs/{run_id}/cancel").status_code)

    def statuses(self, ids: Sequence[str]) -> dict[str, str]:
        rows = self.rows("SELECT id::text, status FROM agents_run WHERE id = ANY(%s::uuid[])", list(ids))
        return dict(rows)

    def finish(self, ids: Sequence[str]) -> dict[str, str]:
        """Wait until all of these are over, for three minutes and more when they are many; what they came to."""

        def over() -> dict[str, str] | None:
            found = self.statuses(ids)
            return found if len(found) == len(ids) and all(s in OVER for s in found.values()) else None

        try:
            return dict(wait_for(over, f"{len(ids)} runs end", seconds=180 + len(ids) / 5))
        except AssertionError as error:
            stuck = [run for run, status in self.statuses(ids).items() if status not in OVER]
            columns = "id, status, attempt, crashes, fence, lease_owner, lease_until - now(), last_seq"
            rows = self.rows(f"SELECT {columns} FROM agents_run WHERE id = ANY(%s::uuid[])", stuck[:5])
            raise AssertionError(f"{error}; {len(stuck)} are not, such as {rows}") from None

    def events(self, run_id: str) -> list[tuple[int, str]]:
        return self.rows("SELECT seq, kind FROM agents_runevent WHERE run_id = %s ORDER BY seq", run_id)

    def broken(self) -> list[tuple[Any, ...]]:
        """What invariants.sql finds."""
        with self.arena.database() as cursor:
            cursor.execute("TRUNCATE chaos_charge")
            cursor.executemany("INSERT INTO chaos_charge VALUES (%s)", [[k] for k, _ in self.arena.payments.charges])
        return self.rows(INVARIANTS)


@dataclass
class Arena:
    """One platform. It ends what it began, and nothing else."""

    folder: Path
    payments: Payments
    address: str = ""
    env: dict[str, str] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    _wanted: int = 0
    _processes: list[subprocess.Popen[str]] = field(default_factory=list)
    _supervisor: threading.Thread | None = None
    _fork: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> None:
        servers = embedded.start(self.folder)
        self.env = {
            **{k: v for k, v in os.environ.items() if k not in ("DJANGO_SETTINGS_MODULE", "PYTHONDONTWRITEBYTECODE")},
            "LOOM_DATA_DIR": str(self.folder),
            "DATABASE_URL": servers.database_url,
            "DATABASE_OWNER_URL": servers.database_owner_url,
            "REDIS_URL": servers.redis_url,
            "LOOM_MODULES": "tests.chaos.programs",
            "LOOM_LEASE_SECONDS": str(LEASE_SECONDS),
            "LOOM_WORKER_CONCURRENCY": str(CONCURRENCY),
            "CHAOS_FOLDER": str(self.folder),
            "CHAOS_PAYMENTS": self.payments.url,
        }
        (self.folder / "static").mkdir(exist_ok=True)
        self.run("manage.py", "migrate", "--database", "owner", "--verbosity", "0")
        with self.database() as cursor:
            cursor.execute(TABLES)
        self._nursery = self._popen("-m", "tests.chaos.nursery", log="nursery.log", speaks=True)
        assert self._nursery.stdout is not None
        assert self._nursery.stdout.readline() == "ready\n", (self.folder / "nursery.log").read_text()
        self.address = self.other_web()

    def end(self) -> None:
        self.keep(0)
        for worker in self.workers:
            worker.send(signal.SIGKILL)
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(timeout=20)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def tenant(self, slug: str) -> Tenant:
        """A new tenant that may run what programs.py has."""
        made = json.loads(self.run("manage.py", "create_tenant", slug, "--owner", f"ann-{slug}", "--json"))
        with self.database() as cursor:
            [(tenant_id,)] = cursor.execute("SELECT id::text FROM governance_tenant WHERE slug = %s", [slug]).fetchall()
        tenant = Tenant(self, slug, made["api_key"], tenant_id)
        with tenant.http() as http:
            for program in ("three-steps", "thrifty", "poison", "stay", "shell"):
                http.post("/api/v1/agents", json={"slug": program, "spec": {"program": program}}).raise_for_status()
        return tenant

    def run(self, *words: str) -> str:
        done = subprocess.run([sys.executable, *words], cwd=ROOT, env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def database(self, url: str = "DATABASE_OWNER_URL") -> Iterator[psycopg.Cursor]:
        """A cursor of the tables' owner, or of the application, which row-level security binds."""
        with psycopg.connect(self.env[url], autocommit=True) as connection:
            yield connection.cursor()

    # --- workers ------------------------------------------------------------------------------------------------------

    def worker(self, fault: str = "", *, lease_seconds: int | None = None, concurrency: int | None = None) -> Worker:
        """Begin a worker; it takes runs when it is ready."""
        name = f"chaos-{len(self.workers)}"
        log = self.folder / f"{name}.log"
        wanted = {"name": name, "log": str(log), "fault": fault, "sweep_seconds": SWEEP_SECONDS}
        with self._fork:
            assert self._nursery.stdin is not None
            assert self._nursery.stdout is not None
            line = json.dumps({**wanted, "lease_seconds": lease_seconds, "concurrency": concurrency})
            self._nursery.stdin.write(line + "\n")
            self._nursery.stdin.flush()
            worker = Worker(int(self._nursery.stdout.readline()), log)
            self.workers.append(worker)
        return worker

    def other_worker(self, **env: str) -> Worker:
        """A worker that is started as anybody starts one, in an environment that differs."""
        log = f"other-{len(self.workers)}.log"
        words = ("-m", "celery", "-A", "loomsite", "worker", "--pool", "threads", "--concurrency", "2")
        process = self._popen(*words, "--without-mingle", "-n", f"{log}@%h", log=log, **env)
        self.workers.append(Worker(process.pid, self.folder / log))
        return self.workers[-1]

    def other_web(self, **env: str) -> str:
        """One more web process, in an environment that differs; its address."""
        port = free_port()
        words = ("-m", "uvicorn", "loomsite.asgi:application", "--log-level", "warning", "--timeout-graceful-shutdown")
        process = self._popen(*words, "1", "--port", str(port), log=f"web-{port}.log", **env)
        wait_for(lambda: _answers(f"127.0.0.1:{port}", process), "the web process answers")
        return f"127.0.0.1:{port}"

    def ready(self, *workers: Worker) -> None:
        for worker in workers:
            wait_for(lambda worker=worker: worker.is_ready() or not worker.is_alive(), f"{worker} is ready")

    def alive(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.is_alive()]

    def keep(self, count: int) -> None:
        """Have so many workers at all times, whatever happens to them: a supervisor. Those too many are killed."""
        was, self._wanted = self._wanted, count
        if count and not was:
            self._fill()
            self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
            self._supervisor.start()
        if not count:
            if self._supervisor is not None:  # else it might begin one more meanwhile
                self._supervisor.join()
            for worker in self.alive():
                worker.send(signal.SIGKILL)
            for worker in self.workers:
                worker.ended()

    def _supervise(self) -> None:
        while self._wanted:
            self._fill()
            time.sleep(0.05)

    def _fill(self) -> None:
        for _ in range(self._wanted - len(self.alive())):
            self.worker()

    # --- servers ------------------------------------------------------------------------------------------------------

    def kill_valkey(self, *, wipe: bool) -> None:
        pid = embedded.status(self.folder).pids["valkey"]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: "valkey" not in embedded.status(self.folder).pids, "Valkey is gone", 15)
        if wipe:
            for data in self._home("valkey").rglob("*.aof*"):
                data.unlink(missing_ok=True)

    def crash_postgres(self) -> None:
        """What `pg_ctl -m immediate stop` does: no checkpoint, all connections cut."""
        os.kill(embedded.status(self.folder).pids["postgres"], signal.SIGQUIT)
        wait_for(lambda: "postgres" not in embedded.status(self.folder).pids, "PostgreSQL is gone", 15)

    def restore(self) -> None:
        """Start the servers that do not run."""
        embedded.start(self.folder)

    def _home(self, server: str) -> Path:
        record = json.loads((self.folder / "services.json").read_text())
        return Path(record.get("SERVERS_DIR", self.folder)) / server

    def _popen(self, *words: str, log: str, speaks: bool = False, **env: str) -> subprocess.Popen[str]:
        pipe, env = subprocess.PIPE if speaks else None, {**self.env, **env}
        with (self.folder / log).open("wb") as out:
            stdout = pipe or out
            command = [sys.executable, *words]
            process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=pipe, stdout=stdout, stderr=out, text=True)
        self._processes.append(process)
        return process


def _answers(address: str, process: subprocess.Popen[str]) -> bool:
    assert process.poll() is None, "the web process ended"
    try:
        return bool(urlopen(f"http://{address}/healthz", timeout=5).status == 200)
    except (URLError, ConnectionError):
        return False


@contextmanager
def arena() -> Iterator[Arena]:
    folder = Path(tempfile.mkdtemp(prefix="loom-chaos-"))
    folder.chmod(0o711)  # the servers' user passes through
    with Payments() as payments:
        made = Arena(folder, payments)
        try:
            made.begin()
            yield made
        finally:
            made.end()
            embedded.remove(folder)
