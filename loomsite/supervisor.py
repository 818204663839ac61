"""What `make run` and `make demo` do: servers, migrations, demo tenant, processes, the demo job; and an orderly end.

Uses neither Django nor its settings, which need the database that is started here: what needs them runs as a child.
"""

import fcntl
import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

from loom.errors import Conflict, LoomError, Unavailable
from loomsite import embedded
from loomsite.children import Child, Family, Guardian
from loomsite.env import ROOT, Env, load_env
from loomsite.ports import free_port, is_free

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
END_SECONDS = 8.0
READY_SECONDS = 90.0
# The code of the demo tenant's workflow, offered beside the deployment's own.
DEMO_MODULE = "examples.intake"
# A child that dies this often before the platform is ready will not get better.
PATIENCE_DEATHS = 3
ONLY_AN_ECHO = """
WARNING: there is no model, only an echo: it repeats what it is told, and fills forms with the least that fits.
For a real one set OPENAI_API_KEY or another provider's key, LOOM_MODEL, or install the small one: loom[local].
"""
WEB = ("--host", "127.0.0.1", "--no-access-log", "--timeout-graceful-shutdown", "3")
WORKER = (
    "--pool", "threads", "--concurrency", "4", "--without-gossip", "--without-mingle", "--without-heartbeat",
    "-n", "worker-1@%h",
)  # fmt: skip


class Stopped(Exception):
    """Somebody asked us to end."""


def up(*, port: int | None, demo: bool, exit_after_demo: bool) -> int:
    """Run the platform until somebody ends it; the exit code of the command.

    With `exit_after_demo` it is 0 only if the demo job succeeded.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # as for the children
    try:
        env = load_env()
        with _only_one(env.data_dir) as claim:
            chosen = _choose_port(port, env.port)
            platform = Platform(env, port=chosen, adopt=claim.begin(chosen))
            return platform.run(demo=demo, exit_after_demo=exit_after_demo)
    except LoomError as error:
        sys.stderr.write(f"loom: {error}\n")
        return 1


class Platform:
    """One run of the platform, from its first server to its last.

    `adopt`: the run before this one was killed, so servers that still run are ours to stop.
    """

    def __init__(self, env: Env, *, port: int, adopt: bool) -> None:
        self._env = env
        self._port = port
        self._logs = _fresh_logs(env.data_dir / "log")
        self._owns_servers = adopt
        self._is_stopping = False
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup means to stay
                signal.signal(number, self._ask_to_stop)
        self._guardian = Guardian(env.data_dir)
        self._family = Family(say)

    def run(self, *, demo: bool, exit_after_demo: bool) -> int:
        try:
            found = self._start()
            if found["model"] == "echo":
                say(ONLY_AN_ECHO)
            succeeded = self._run_demo(found["api_key"]) if demo else True
            say(_summary(found, self._url, self._logs))
            if exit_after_demo:
                return 0 if succeeded else 1
            return self._serve()
        except Stopped:
            return 130
        finally:
            self._end()

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def _start(self) -> dict[str, Any]:
        with _step("PostgreSQL and Valkey"):
            database = self._start_servers()
        note = self._env.data_dir / "prepared"
        recipe = _recipe(database)
        # With the tables as they were left, the children need not wait for the look at them.
        if is_prepared := note.exists() and note.read_text() == recipe:
            self._start_family()
        with _step("Tables and demo tenant"):
            found: dict[str, Any] = json.loads(self._manage("prepare"))
            note.write_text(recipe)
        with _step("Web and worker"):
            if not is_prepared:
                self._start_family()
            self._wait_until_ready()
        beat = ("-m", "celery", "-A", "loomsite", "beat", "--schedule", str(self._env.data_dir / "celerybeat-schedule"))
        self._family.add(self._child("beat", *beat))
        return found

    def _start_servers(self) -> str:
        """The URL of the database, ours or the one that the environment names."""
        # What the environment names is not embedded. (`load_env` has put `.env` into it.)
        urls = {"database_url": os.environ.get("DATABASE_URL", ""), "redis_url": os.environ.get("REDIS_URL", "")}
        services = embedded.start(self._env.data_dir, **urls)
        self._owns_servers = self._owns_servers or bool(services.started)
        if self._owns_servers:
            self._guardian.tell("servers")
        return urls["database_url"] or services.database_url

    def _start_family(self) -> None:
        web = ("-m", "uvicorn", "loomsite.asgi:application", *WEB, "--port", str(self._port))
        self._family.add(self._child("web", *web))
        self._family.add(self._child("worker", "-m", "celery", "-A", "loomsite", "worker", *WORKER))

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while (answer := _readiness(self._port)) is not None:
            worst = self._family.worst()
            if worst and worst.deaths >= PATIENCE_DEATHS:
                raise Unavailable(f"{worst.name} does not stay alive: the end of {worst.log} above says why")
            if time.monotonic() > deadline:
                raise Unavailable(f"not ready after {READY_SECONDS:g} s ({answer}): {self._logs} says why")
            self._pause()

    def _run_demo(self, api_key: str) -> bool:
        say("\nThe demo job: a support mail becomes a ticket.\n")
        child = self._child("demo", "-m", "loomsite.demo", self._url, LOOM_API_KEY=api_key)
        code = self._to_its_end(child, child.start(stdout=sys.stdout.fileno()))[0]
        if code != 0:
            say(f"The demo job failed. {child.log} ends:\n{child.tail()}\nThe worker's log is beside it.")
        return code == 0

    def _manage(self, *words: str) -> str:
        """Run a management command; what it printed."""
        child = self._child(words[0], "manage.py", *words)
        code, output = self._to_its_end(child, child.start(stdout=subprocess.PIPE))
        if code != 0:
            raise Unavailable(f"manage.py {' '.join(words)} failed; {child.log} ends:\n{output}{child.tail()}")
        return output

    def _to_its_end(self, child: Child, process: subprocess.Popen[bytes]) -> tuple[int, str]:
        try:
            while True:
                try:
                    output, _ = process.communicate(timeout=0.05)
                except subprocess.TimeoutExpired:
                    self._pause(0)
                else:
                    return process.returncode, (output or b"").decode(errors="replace")
        finally:
            child.end(2.0)

    def _serve(self) -> int:
        say("\nCtrl-C stops it.")
        try:
            while True:
                self._pause()
        except Stopped:
            return 0

    def _pause(self, seconds: float = 0.1) -> None:
        """Wait a moment, look after the children, and notice that we shall end."""
        if self._is_stopping:
            raise Stopped
        self._family.tend()
        time.sleep(seconds)

    def _end(self) -> None:
        say("Stopping …")
        self._family.end(END_SECONDS)
        if self._owns_servers:
            embedded.stop(self._env.data_dir)
        self._guardian.dismiss()

    def _child(self, name: str, *words: str, **env: str) -> Child:
        modules = ",".join(dict.fromkeys((*self._env.modules, DEMO_MODULE)))
        env |= {"LOOM_DATA_DIR": str(self._env.data_dir), "LOOM_PORT": str(self._port), "LOOM_MODULES": modules}
        return Child(name, words, log=self._logs / f"{name}.log", env=env, guardian=self._guardian)

    def _ask_to_stop(self, *_: object) -> None:
        self._is_stopping = True


class _Claim:
    """The file that says who runs here. It is emptied at an orderly end."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def begin(self, port: int) -> bool:
        """Put our name down; was the run before us killed?"""
        self._file.seek(0)
        was_killed = bool(self._file.read())
        self._write(json.dumps({"pid": os.getpid(), "port": port}))
        return was_killed

    def end(self) -> None:
        self._write("")

    def _write(self, text: str) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(text)
        self._file.flush()


@contextmanager
def _only_one(data_dir: Path) -> Iterator[_Claim]:
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "up.json").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            other = json.loads(file.read() or "{}")
            where = f"process {other.get('pid', '?')}, http://127.0.0.1:{other.get('port', '?')}/"
            raise Conflict(f"Loom already runs here ({where}): use it, or end it first") from None
        claim = _Claim(file)
        try:
            yield claim
        finally:
            claim.end()


def _choose_port(asked: int | None, default: int) -> int:
    if asked is not None:
        if not is_free(asked):
            raise Conflict(f"port {asked} is taken: end what listens there, or give another --port")
        return asked
    if is_free(default):
        return default
    port = free_port()
    say(f"Port {default} is taken; using {port}.")
    return port


def _recipe(database: str) -> str:
    """What the tables are made from; the same recipe means that they are up to date."""
    digest = hashlib.sha256(f"{database} {version('django')}".encode())
    for migration in sorted(ROOT.glob("*/migrations/*.py")):
        digest.update(migration.name.encode() + migration.read_bytes())
    return digest.hexdigest()


def _fresh_logs(folder: Path) -> Path:
    """The folder for logs, the ones of the run before set aside."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for log in folder.glob("*.log"):
        log.replace(log.with_suffix(".log.1"))
    return folder


def _readiness(port: int) -> str | None:
    """What still is missing; None when the platform is ready."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        text = response.read(2000).decode(errors="replace")
        return None if response.status == 200 else text
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {error}"
    finally:
        connection.close()


def _summary(found: dict[str, Any], url: str, logs: Path) -> str:
    password = found["password"] or "as printed at the first start; `manage.py changepassword` sets another"
    lines = {
        "console": f"{url}{found['console_url_path']}",
        "admin": f"{url}/admin/",
        "login": f"{found['username']}   password: {password}",
        "API": f"{url}/api/v1/docs   key: {found['api_key']}",
        "model": found["model"],
        "logs": str(logs),
    }
    return "\nLoom is running.\n\n" + "\n".join(f"  {name:<8} {value}" for name, value in lines.items())


@contextmanager
def _step(name: str) -> Iterator[None]:
    """Say what is being done, and how long it took."""
    began = time.monotonic()
    sys.stdout.write(f"{name} … ")
    sys.stdout.flush()
    outcome = "failed"
    try:
        yield
        outcome = "ok"
    except Stopped:
        outcome = "stopped"
        raise
    finally:
        say(f"{outcome}, {time.monotonic() - began:.1f} s")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
