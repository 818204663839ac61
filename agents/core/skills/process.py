"""Running a program that must not outlive its time, nor leave anything behind."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT
from typing import Protocol

import anyio
import anyio.to_thread
from anyio.abc import ByteReceiveStream, Process

from loom.errors import ToolError

_MARK = "LOOM_PROCESS_MARK"
_DRAIN_SECONDS = 1.0
_ROUNDS = 20


@dataclass(frozen=True)
class Finished:
    """How a program ended. `exit_code` is None when its time was over. `output` is stdout and stderr, in order."""

    exit_code: int | None
    output: bytes
    is_cut: bool = False


class Run(Protocol):
    """Runs a program in a folder; a sandbox can stand in its place."""

    async def __call__(
        self,
        argv: Sequence[str],
        *,
        folder: Path,
        env: Mapping[str, str],
        timeout_seconds: float,
        max_output_bytes: int,
    ) -> Finished: ...


async def run_process(
    argv: Sequence[str], *, folder: Path, env: Mapping[str, str], timeout_seconds: float, max_output_bytes: int
) -> Finished:
    """Run a program in a session of its own with exactly `env`, and kill it with all its children when the time is over
    or the caller is cancelled. What it left running is killed when it ends, too.

    Raises ToolError when it cannot be started.
    """
    mark = secrets.token_hex(16)
    try:
        process = await anyio.open_process(
            argv,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            cwd=folder,
            env={**env, _MARK: mark},
            start_new_session=True,
        )
    except OSError as problem:
        raise ToolError(f"cannot start {argv[0]!r}: {problem.strerror}") from problem
    kept = _Kept(max_output_bytes)
    try:
        with anyio.move_on_after(timeout_seconds):
            await _finish(process, kept)
            return Finished(process.returncode, bytes(kept.data), kept.is_cut)
        return Finished(None, bytes(kept.data), kept.is_cut)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(_kill, process.pid, mark)
            await process.wait()
            await process.aclose()


class _Kept:
    """The first bytes of an output. The rest is read, so that the program can go on, and forgotten."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.data = bytearray()
        self.is_cut = False

    def add(self, chunk: bytes) -> None:
        room = self._limit - len(self.data)
        self.data += chunk[:room]
        self.is_cut = self.is_cut or len(chunk) > room


async def _finish(process: Process, kept: _Kept) -> None:
    assert process.stdout is not None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_read, process.stdout, kept)
        await process.wait()
        # A child that was left running keeps the pipe open; what the program itself wrote is there by now.
        tasks.cancel_scope.deadline = anyio.current_time() + _DRAIN_SECONDS


async def _read(stream: ByteReceiveStream, kept: _Kept) -> None:
    with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
        async for chunk in stream:
            kept.add(chunk)


def _kill(pid: int, mark: str) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    for _ in range(_ROUNDS):  # one that was about to fork may have got a child in between
        strays = _marked(mark)
        if not strays:
            return
        for stray in strays:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(stray, signal.SIGKILL)


def _marked(mark: str) -> list[int]:
    """Processes that carry the mark in their environment: children that made a session of their own."""
    wanted = f"{_MARK}={mark}".encode()
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            with suppress(OSError):
                if wanted in Path("/proc", name, "environ").read_bytes():
                    found.append(int(name))
    return found
