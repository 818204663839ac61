"""Tools that a fresh process can import, and quickly."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path


def megabyte() -> str:
    return "x" * 1_000_000


def environment() -> dict[str, str]:
    return dict(os.environ)


def noisy() -> str:
    sys.stdout.write("this is not the result")
    os.write(1, b"neither is this")
    return "quiet"


def failing() -> None:
    raise ValueError("no such order")


def leaving() -> None:
    os._exit(7)


def forking(path: str) -> None:
    subprocess.Popen(["/bin/sh", "-c", f"sleep 1; touch {path}"])
    time.sleep(60)


def hungry() -> int:
    return len(bytearray(3 << 30))


def big_file(path: str) -> None:
    Path(path).write_bytes(b"x" * (80 << 20))


def reading(path: str) -> str:
    return Path(path).read_text()


def writing(path: str) -> str:
    Path(path).write_text("written")
    return str(Path(path).resolve())


def dialing(port: int) -> str:
    import socket

    with socket.create_connection(("127.0.0.1", port), timeout=2):
        return "connected"


def processes() -> int:
    return sum(1 for name in os.listdir("/proc") if name.isdigit())
