"""Running a program that must not outlive its time, nor leave anything behind."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import STDOUT
from typing import Protocol

import anyio
from anyio.abc import ByteReceiveStream, Process

from agents.core.tools.builtin import reaped
from loom.errors import ToolError

_DRAIN_SECONDS = 1.0


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
    """Run a program in a session of its own with exactly `env`, and kill it with everything it started when the time is
    over or the caller is cancelled. What it left running is killed when it ends, too. Out of reach is what a program
    that kills its own reaper has started: one that you do not trust belongs in a box.

    Raises ToolError when it cannot be started.
    """
    try:
        _check_is_program(argv[0], env.get("PATH"))
        process = await reaped.start(argv, cwd=folder, env=env, stderr=STDOUT)
    except OSError as problem:
        raise ToolError(f"cannot start {argv[0]!r}: {problem.strerror}") from problem
    kept = _Kept(max_output_bytes)
    try:
        with anyio.move_on_after(timeout_seconds):
            await _finish(process, kept)
            return Finished(process.returncode, bytes(kept.data), kept.is_cut)
        return Finished(None, bytes(kept.data), kept.is_cut)
    finally:
        await reaped.end(process)


def _check_is_program(name: str, path: str | None) -> None:
    """Raise the OSError of starting it: the process that will is not this one."""
    if shutil.which(name, path=path) is None:
        code = errno.EACCES if os.path.exists(name) else errno.ENOENT
        raise OSError(code, os.strerror(code), name)


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
