"""Ends what the supervisor started when the supervisor itself was killed without a chance to.

Run as a program of its own, with the supervisor's pipe as its input: `+ 17` (this process group began), `- 17` (it
ended), `servers` (the embedded servers are ours), `bye` (all is in order). The end of the pipe without `bye` means
that the supervisor is dead. Imports nothing of ours, so that it stays small.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

PATIENCE_SECONDS = 8.0


def main(data_dir: str) -> None:
    groups: set[int] = set()
    with_servers = False
    for line in sys.stdin:
        match line.split():
            case ["+", pid]:
                groups.add(int(pid))
            case ["-", pid]:
                groups.discard(int(pid))
            case ["servers"]:
                with_servers = True
            case ["bye"]:
                return
    end(groups)
    if with_servers:
        words = [sys.executable, "-m", "loomsite.embedded", "stop", "--data-dir", data_dir]
        subprocess.run(words, check=False, stdout=subprocess.DEVNULL)  # noqa: S603


def end(groups: set[int], patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Ask the process groups to end, wait, then make them."""
    deadline = time.monotonic() + patience_seconds
    alive = send(groups, signal.SIGTERM)
    while alive and time.monotonic() < deadline:
        time.sleep(0.05)
        alive = send(alive, 0)
    send(alive, signal.SIGKILL)


def send(groups: set[int], number: int) -> set[int]:
    """Signal process groups; those that still exist."""
    alive = set()
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):  # macOS forbids to signal what is dead and not yet buried
            os.killpg(group, number)
            alive.add(group)
    return alive


if __name__ == "__main__":
    main(sys.argv[1])
