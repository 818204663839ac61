"""A tool that runs shell commands.

It is bounded, not safe: the command runs as this process's user and may read what that user may read, `/proc` and the
network included. What must not be reached belongs behind a sandbox.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
from anyio.abc import ByteReceiveStream, Process

from agents.core.tools.beneath import Beneath
from agents.core.tools.builtin import reaped
from agents.core.tools.builtin.courtesy import objection
from agents.core.tools.builtin.workdir import folder
from agents.core.tools.tool import Tool, tool

OUTPUT_CHARS = 10_000  # of each of the two streams
LONGEST_SECONDS = 600.0  # what a model may ask for


def bash_tool(
    workdir: Path | str | Beneath | None = None,
    *,
    name: str = "bash",
    timeout: float = 30.0,
    allow_pattern: Callable[[str], bool] | None = None,
    extra_env: dict[str, str] | None = None,
) -> Tool:
    """A tool that runs a command with `/bin/sh -c` in the work directory.

    The command inherits no environment but PATH, LANG, and what `extra_env` names; its HOME is the work directory.
    Everything that it started ends with it, after `timeout` seconds at the latest: on Linux also processes that
    forked twice or began their own session, elsewhere those of its process group. Out of reach are processes that
    another service was asked to start, and everything when the command sends SIGKILL to its own reaper.
    `allow_pattern` decides about commands instead of the built-in list, which stops only slips like `rm -rf /`.
    """
    return replace(_Shell(folder(workdir), timeout, allow_pattern, dict(extra_env or {})).bash, name=name)


@dataclass(frozen=True)
class _Shell:
    beneath: Beneath
    timeout: float
    allow_pattern: Callable[[str], bool] | None
    extra_env: Mapping[str, str]

    @tool(destructive=True)
    async def bash(self, command: str, timeout_sec: float | None = None) -> str:
        """Run a shell command in the work directory. Background processes end with the command.

        Args:
            command: The command, as for `/bin/sh -c`.
            timeout_sec: After how many seconds to kill it, at most 600.
        """
        if refusal := self._refusal(command):
            return f"ERROR: {refusal}"
        limit = min(self.timeout if timeout_sec is None else max(timeout_sec, 0.0), LONGEST_SECONDS)
        try:
            self.beneath.mkdirs(".")
            process = await reaped.start(["/bin/sh", "-c", command], cwd=self.beneath.root, env=self._environment())
        except (OSError, ValueError) as exc:  # too long, or with a NUL in it
            return f"ERROR: the command cannot be started: {getattr(exc, 'strerror', None) or exc}"
        out, err = _Kept(), _Kept()
        try:
            code = await _result_of(process, out, err, limit)
        finally:
            await reaped.end(process)
        report = f"$ {command}\n[exit={code}]" if code is not None else _too_late(command, limit)
        return report + out.section("stdout") + err.section("stderr")

    def _refusal(self, command: str) -> str | None:
        if self.allow_pattern is not None:
            return None if self.allow_pattern(command) else "this command is not allowed"
        reason = objection(command)
        return f"this command is not run: {reason}" if reason else None

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.beneath.root),
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "TERM": "dumb",
            **self.extra_env,
        }


async def _result_of(process: Process, out: _Kept, err: _Kept, limit: float) -> int | None:
    """The exit code, or None when the time is up."""
    with anyio.move_on_after(limit):
        async with anyio.create_task_group() as readers:
            for stream, kept in ((process.stdout, out), (process.stderr, err)):
                if stream is not None:
                    readers.start_soon(kept.drain, stream)
        return await process.wait()
    return None


@dataclass
class _Kept:
    """The beginning of a stream; the rest is counted and thrown away, so that a flood fills no memory."""

    data: bytearray = field(default_factory=bytearray)
    more: int = 0

    async def drain(self, stream: ByteReceiveStream) -> None:
        async for chunk in stream:
            room = OUTPUT_CHARS * 4 - len(self.data)  # a character has up to four bytes
            self.data += chunk[:room]
            self.more += max(0, len(chunk) - room)

    def section(self, name: str) -> str:
        text = self.data.decode("utf-8", "replace").replace("\0", "\ufffd")  # PostgreSQL stores no NUL
        more = self.more + len(text[OUTPUT_CHARS:].encode())
        text = text[:OUTPUT_CHARS] + (f"\n... ({more} more bytes)" if more else "")
        return f"\n--- {name} ---\n{text}" if text else ""


def _too_late(command: str, limit: float) -> str:
    return f"ERROR: the command did not finish within {limit:g} s and was killed with all it had started\n$ {command}"
