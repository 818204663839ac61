"""The servers of one data folder: find them, start them, stop them.

What it takes to find them again (ports, passwords, keys) is in `services.json` in the data folder, readable by its
owner alone, under the names of the environment variables it stands in for.
"""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from loom.errors import Unavailable
from loomsite.embedded.account import account_for
from loomsite.embedded.postgres import APP, DATABASE, OWNER, PREPARE, Postgres
from loomsite.embedded.valkey import Valkey
from loomsite.ports import free_port, is_free

FILE = "services.json"
# Where root's servers keep their data when their user cannot reach the data folder, say below a private home.
ELSEWHERE = Path("/var/lib/loom")
ATTEMPTS = 4


@dataclass(frozen=True)
class Services:
    """The embedded servers. A URL is empty where there is no embedded server.

    `pids` names those that run (`postgres`, `valkey`); `started` those that this call started.
    """

    database_url: str
    database_owner_url: str
    redis_url: str
    pids: Mapping[str, int]
    started: frozenset[str] = frozenset()


def start(data_dir: Path, *, database_url: str = "", redis_url: str = "") -> Services:
    """Find or start the servers of `data_dir`. A server whose URL is given is not embedded.

    Safe to repeat, also after a crash and from two processes at once. Raises Unavailable, which says the way out.
    """
    with _opened(data_dir) as folder:
        started = {
            name
            for name, url, begin in (
                ("postgres", database_url, folder.start_postgres),
                ("valkey", redis_url, folder.start_valkey),
            )
            if not url and begin()
        }
        return folder.services(frozenset(started))


def status(data_dir: Path) -> Services:
    """What runs, without starting anything."""
    with _opened(data_dir) as folder:
        return folder.services(frozenset())


def stop(data_dir: Path) -> None:
    """Stop what runs. The data stays."""
    with _opened(data_dir) as folder:
        folder.stop()


def remove(data_dir: Path) -> None:
    """Stop what runs and delete its data, which may lie outside `data_dir`."""
    with _opened(data_dir) as folder:
        folder.stop()
        folder.delete()


class _Folder:
    """A data folder under our lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record = self._read()

    def start_postgres(self) -> bool:
        server = self.postgres
        if server.is_initialized() and "DATABASE_OWNER_URL" not in self.record:
            raise Unavailable(
                f"the password of {server.data} is gone: restore {self.path / FILE}, or delete {server.data}"
            )
        was_running = server.pid() is not None
        if not server.is_initialized():
            # Written first: data without its password would be lost.
            self._remember_database(free_port(), secrets.token_urlsafe(24), secrets.token_urlsafe(24))
            server.initialize(_password(self.record["DATABASE_OWNER_URL"]))
        owner, app = (_password(self.record[name]) for name in ("DATABASE_OWNER_URL", "DATABASE_URL"))
        if not was_running:
            port = _on_free_port(_port(self.record["DATABASE_URL"]), server.start)
            self._remember_database(port, owner, app)
        recipe = hashlib.sha256(PREPARE.read_bytes() + app.encode()).hexdigest()
        if self.record.get("DATABASE_PREPARED") != recipe:
            server.prepare(_port(self.record["DATABASE_URL"]), owner, app)
            self._remember(DATABASE_PREPARED=recipe)
        return not was_running

    def start_valkey(self) -> bool:
        server = self.valkey
        url = self.record.get("REDIS_URL") or f"redis://:{secrets.token_urlsafe(24)}@127.0.0.1:{free_port()}/0"
        password = _password(url)
        if server.pid(_port(url), password) is not None:
            return False
        server.initialize()
        port = _on_free_port(_port(url), lambda port: server.start(port, password))
        self._remember(REDIS_URL=f"redis://:{password}@127.0.0.1:{port}/0")
        return True

    def services(self, started: frozenset[str]) -> Services:
        pids = {
            "postgres": self.postgres.pid() if "DATABASE_URL" in self.record else None,
            "valkey": self._valkey_pid(),
        }
        return Services(
            database_url=self.record.get("DATABASE_URL", ""),
            database_owner_url=self.record.get("DATABASE_OWNER_URL", ""),
            redis_url=self.record.get("REDIS_URL", ""),
            pids={name: pid for name, pid in pids.items() if pid is not None},
            started=started,
        )

    def stop(self) -> None:
        if self._valkey_pid() is not None:
            self.valkey.stop(_port(self.record["REDIS_URL"]), _password(self.record["REDIS_URL"]))
        if self.postgres.is_initialized():
            self.postgres.stop()

    def delete(self) -> None:
        for data in (self.postgres.data, self.valkey.data):
            shutil.rmtree(data, ignore_errors=True)
        if self._home != self.path:
            shutil.rmtree(self._home, ignore_errors=True)
        (self.path / FILE).unlink(missing_ok=True)

    @cached_property
    def postgres(self) -> Postgres:
        return Postgres(self._home / "postgres", account_for(self._home / "postgres"))

    @cached_property
    def valkey(self) -> Valkey:
        return Valkey(self._home / "valkey", account_for(self._home / "valkey"))

    @cached_property
    def _home(self) -> Path:
        """The folder above the servers' data: this one, if the account that runs them can look into it."""
        if chosen := self.record.get("SERVERS_DIR"):
            return Path(chosen)
        if account_for(self.path / "postgres").can_enter(self.path):
            return self.path
        home = ELSEWHERE / secrets.token_hex(6)
        _make_folder(home)
        self._remember(SERVERS_DIR=str(home))
        return home

    def _valkey_pid(self) -> int | None:
        url = self.record.get("REDIS_URL")
        return self.valkey.pid(_port(url), _password(url)) if url else None

    def _remember_database(self, port: int, owner: str, app: str) -> None:
        self._remember(
            DATABASE_URL=f"postgresql://{APP}:{app}@127.0.0.1:{port}/{DATABASE}",
            DATABASE_OWNER_URL=f"postgresql://{OWNER}:{owner}@127.0.0.1:{port}/{DATABASE}",
        )

    def _remember(self, **values: str) -> None:
        self.record |= values
        draft = self.path / f".{FILE}"
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(self.record, indent=2) + "\n")
        if os.geteuid() == 0:  # in a user's folder root leaves nothing that the user cannot read
            owner = self.path.stat()
            os.chown(draft, owner.st_uid, owner.st_gid)
        draft.replace(self.path / FILE)

    def _read(self) -> dict[str, str]:
        file = self.path / FILE
        try:
            record: dict[str, str] = json.loads(file.read_text())
            return record
        except FileNotFoundError:
            return {"LOOM_SECRET_KEY": secrets.token_urlsafe(48), "LOOM_MASTER_KEY": secrets.token_urlsafe(32)}
        except PermissionError as error:
            raise Unavailable(
                f"{self.path} was begun by another user: run as that user, or set LOOM_DATA_DIR"
            ) from error
        except (OSError, ValueError) as error:
            raise Unavailable(f"{file} cannot be read ({error}): repair it, or delete {self.path}") from error


@contextmanager
def _opened(path: Path) -> Iterator[_Folder]:
    path = path.resolve()
    _make_folder(path)
    lock = path / f"{FILE}.lock"
    try:
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(f"{path} was begun by another user: run as that user, or set LOOM_DATA_DIR") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield _Folder(path)
    finally:
        os.close(descriptor)


def _make_folder(path: Path) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(exist_ok=True)
        path.chmod(0o711)  # the servers' user passes through; what lies here protects itself


def _on_free_port(port: int, start: Callable[[int], None]) -> int:
    """Start a server on this port, or on another one if somebody has it."""
    for _ in range(ATTEMPTS):
        if not is_free(port):
            port = free_port()
        try:
            start(port)
        except Unavailable:
            if is_free(port):
                raise  # so the port was not the reason
            continue
        return port
    raise Unavailable(f"no free port on 127.0.0.1 after {ATTEMPTS} attempts: close what takes them, then start again")


def _port(url: str) -> int:
    return urlsplit(url).port or 0


def _password(url: str) -> str:
    return urlsplit(url).password or ""
