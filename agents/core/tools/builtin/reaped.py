"""Processes that end with everything they started: on Linux also what forked twice or began a session of its own,
elsewhere their process group.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import anyio
from anyio.abc import Process

ENDING_SECONDS = 7.0  # longer than the reaper's own patience

_REAPER = Path(__file__).with_name("reaper.py")
_HAS_REAPER = sys.platform.startswith("linux") and bool(sys.executable)


async def start(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], stderr: int = subprocess.PIPE) -> Process:
    """Start a program with exactly `env`. Raises OSError and ValueError; `end` it, whatever happens."""
    reaped = [sys.executable, "-I", "-S", str(_REAPER), *argv]
    return await anyio.open_process(
        reaped if _HAS_REAPER else argv,
        stdin=subprocess.PIPE if _HAS_REAPER else subprocess.DEVNULL,
        stderr=stderr,
        cwd=cwd,
        env=env,
        start_new_session=True,
    )


async def end(process: Process) -> None:
    """Stop what is left, also when the run is being cancelled. Closing the reaper's input is the sign to it."""
    if not _HAS_REAPER:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    with anyio.move_on_after(ENDING_SECONDS, shield=True):
        await process.aclose()
