"""Running a command that cannot outlive its time, flood its reader or see our environment."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE

import anyio
from anyio.abc import ByteReceiveStream, Process

from loom.errors import SandboxError

SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin"
_DRAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process may use; its children have the same each. None is no limit.

    `processes` counts all processes of the user, so it is of use under a user id of its own.
    """

    memory_bytes: int | None = 1 << 30
    file_bytes: int | None = 64 << 20
    open_files: int | None = 256
    cpu_seconds: int | None = 30
    processes: int | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended. `is_cut` says that it wrote more than was kept."""

    returncode: int | None
    stdout: bytes
    stderr: bytes
    timed_out: bool = False
    is_cut: bool = False


async def run(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    folder: str | Path | None = None,
    timeout_seconds: float,
    max_output_bytes: int = 1 << 20,
) -> Finished:
    """Run a command in a session of its own, with nothing in its environment but a search path and a private folder.

    When the command ends, when the time is over and when the caller is cancelled, all processes of its group are
    killed. Raises SandboxError when it cannot be started.
    """
    with tempfile.TemporaryDirectory(prefix="loom-") as home:
        clean = {"PATH": SEARCH_PATH, "LANG": "C.UTF-8", "HOME": home, "TMPDIR": home}
        async with _started(argv, {**clean, **(env or {})}, folder) as process:
            out, err = _Kept(max_output_bytes), _Kept(max_output_bytes)
            with anyio.move_on_after(timeout_seconds) as clock:
                await _attend(process, stdin, out, err)
            return Finished(
                process.returncode, bytes(out.data), bytes(err.data), clock.cancelled_caught, out.is_cut or err.is_cut
            )


@asynccontextmanager
async def _started(argv: Sequence[str], env: Mapping[str, str], folder: str | Path | None) -> AsyncIterator[Process]:
    try:
        process = await anyio.open_process(
            argv, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=env, cwd=folder, start_new_session=True
        )
    except OSError as error:
        raise SandboxError(f"cannot start {argv[0]!r}: {error.strerror}", command=argv[0]) from error
    try:
        yield process
    finally:
        if process.returncode is None:
            _kill_group(process)
        with anyio.CancelScope(shield=True):
            await process.wait()
            await process.aclose()


async def _attend(process: Process, stdin: bytes, out: _Kept, err: _Kept) -> None:
    assert process.stdout is not None
    assert process.stderr is not None
    async with anyio.create_task_group() as group:
        group.start_soon(_feed, process, stdin)
        group.start_soon(_drain, process.stdout, out)
        group.start_soon(_drain, process.stderr, err)
        await process.wait()
        # Children that were left behind hold the pipes open; they end with their parent, or are not waited for.
        _kill_group(process)
        group.cancel_scope.deadline = anyio.current_time() + _DRAIN_SECONDS


async def _feed(process: Process, data: bytes) -> None:
    assert process.stdin is not None
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        await process.stdin.send(data)
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        await process.stdin.aclose()


class _Kept:
    """The first bytes of an output. The rest is read, so that the writer can go on, and forgotten."""

    def __init__(self, limit: int) -> None:
        self.data = bytearray()
        self.is_cut = False
        self._limit = limit

    def add(self, chunk: bytes) -> None:
        room = self._limit - len(self.data)
        self.data += chunk[:room]
        self.is_cut = self.is_cut or len(chunk) > room


async def _drain(stream: ByteReceiveStream, kept: _Kept) -> None:
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        async for chunk in stream:
            kept.add(chunk)


def _kill_group(process: Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
