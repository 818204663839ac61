"""Each call of a tool in a process of its own."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from copy import copy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from governance.core.sandbox.base import ToolHost
from governance.core.sandbox.bubblewrap import Bubblewrap, prefixes
from governance.core.sandbox.process import Finished, Limits, run
from loom.errors import ConfigError
from loom.messages import ToolDef, ToolResult

MAX_RESULT_BYTES = 16 << 20
_CHILD = str(Path(__file__).with_name("child.py"))


class SubprocessSandbox:
    """Runs the tools of an in-process host in fresh Python processes.

    A call sees none of our environment, has the limits given and ends with all its children after `timeout_seconds`.
    Without `box` it still sees our files and the network; a `Bubblewrap` takes both away. A tool must be a function at
    the top of a module (decorated or not), so that the new process can import it; arguments and results pass as JSON.
    `python` is another interpreter of the same version, for a box whose user cannot read ours. A tool that is a
    program, such as a script of a skill, is started within the same walls.
    """

    def __init__(
        self,
        inner: ToolHost,
        *,
        timeout_seconds: float = 30.0,
        limits: Limits | None = None,
        box: Bubblewrap | None = None,
        python: str | Path | None = None,
    ) -> None:
        if not timeout_seconds > 0:
            raise ValueError(f"timeout_seconds is {timeout_seconds}; it must be above 0")
        if not callable(getattr(inner, "get", None)):
            raise ConfigError(
                f"SubprocessSandbox needs the functions of an in-process tool host, not a {type(inner).__name__}"
            )
        self._inner: Any = inner
        self._timeout_seconds = timeout_seconds
        self._limits = limits or replace(Limits(), cpu_seconds=math.ceil(timeout_seconds))
        self._box = box
        self._python = str(python or sys.executable)
        self._command()  # a box that cannot read the interpreter is refused here, not at the first call

    @property
    def inner(self) -> ToolHost:
        host: ToolHost = self._inner
        return host

    @property
    def timeout_seconds(self) -> float:
        return self._timeout_seconds

    def around(self, host: ToolHost) -> SubprocessSandbox:
        """The same walls around another in-process host."""
        walled = copy(self)
        walled._inner = host
        return walled

    def program(self, argv: Sequence[str], *, folder: Path, env: Mapping[str, str]) -> list[str]:
        """The command line that starts a program of a folder within these walls, with exactly `env`."""
        program, *words = argv
        program = self._python if program == sys.executable else program
        limited = [self._python, "-I", _CHILD, json.dumps(asdict(self._limits)), program, *words]
        if self._box is None:
            return limited
        return self._box.program(limited, folder=folder, env=env, readable=[_CHILD, *prefixes(self._python)])

    async def list_tools(self, *, query: str | None = None) -> list[ToolDef]:
        tools: list[ToolDef] = await self._inner.list_tools(query=query)
        return tools

    async def call(self, tool: str, args: Mapping[str, Any], *, call_id: str = "") -> ToolResult:
        found = self._inner.get(tool)
        if found is None:
            return ToolResult.error_(call_id, f"unknown tool: {tool}")
        began = time.perf_counter()
        if (within := getattr(found, "within", None)) is not None:
            return await _of_program(within(self), args, call_id, began)
        try:
            request = json.dumps(self._request(found.fn, args)).encode()
        except (TypeError, ValueError) as error:
            return ToolResult.error_(call_id, f"{tool} cannot run in a process of its own: {error}")
        finished = await self._run(request)
        return _result(call_id, finished, self._timeout_seconds, _taken(began))

    async def watch(self) -> AsyncIterator[Any]:
        async for event in self._inner.watch():
            yield event

    def _request(self, fn: Any, args: Mapping[str, Any]) -> dict[str, Any]:
        return {"tool": _address(fn), "args": dict(args), "limits": asdict(self._limits), "sys_path": sys.path}

    async def _run(self, request: bytes) -> Finished:
        return await run(
            self._command(), stdin=request, timeout_seconds=self._timeout_seconds, max_output_bytes=MAX_RESULT_BYTES
        )

    def _command(self) -> list[str]:
        argv = [self._python, "-I", _CHILD]
        if self._box is None:
            return argv
        paths = [Path(path) for path in [*sys.path, _CHILD] if path]
        if self._python != sys.executable:
            paths = [path for path in paths if not path.is_relative_to(sys.base_prefix)]
        return self._box.command(argv, readable=[*paths, *prefixes(self._python)])


def _address(fn: Any) -> dict[str, str]:
    """Where another process finds a function."""
    name = getattr(fn, "__qualname__", "")
    module = sys.modules.get(getattr(fn, "__module__", ""))
    file = getattr(module, "__file__", None)
    if not name or "<" in name or module is None or file is None:
        raise ValueError(f"define {name or fn!r} at the top of a module")
    return {"module": module.__name__, "name": name, "file": file}


async def _of_program(tool: Any, args: Mapping[str, Any], call_id: str, began: float) -> ToolResult:
    try:
        output = await tool.execute(args)
    except Exception as error:
        return ToolResult.error_(call_id, str(error) or type(error).__name__, **_taken(began))
    return ToolResult.success(call_id, output, **_taken(began))


def _taken(began: float) -> dict[str, float]:
    return {"duration_ms": 1000 * (time.perf_counter() - began)}


def _result(call_id: str, finished: Finished, timeout_seconds: float, taken: dict[str, float]) -> ToolResult:
    if finished.timed_out:
        return ToolResult.error_(call_id, f"tool exceeded {timeout_seconds:g}s and was killed", **taken)
    if finished.is_cut:
        return ToolResult.error_(call_id, f"tool result is larger than {MAX_RESULT_BYTES >> 20} MiB", **taken)
    try:
        answer = json.loads(finished.stdout)
        if answer["ok"]:
            return ToolResult.success(call_id, answer["output"], **taken)
        return ToolResult.error_(call_id, str(answer["error"]), **taken)
    except (ValueError, TypeError, KeyError):
        last = finished.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return ToolResult.error_(call_id, f"tool process ended with {finished.returncode}: {last[:500]}", **taken)
