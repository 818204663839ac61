"""The program that runs one call of one tool, started by `SubprocessSandbox`.

Reads the request from standard input and writes the answer, both JSON, to what was standard output; what the tool
prints goes to standard error. Nothing of the parent is imported before its limits are set. With arguments, limits as
JSON and a command line, it becomes that program.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import os
import resource
import runpy
import signal
import sys
from typing import Any

_LIMITS = {
    "memory_bytes": "RLIMIT_AS",
    "file_bytes": "RLIMIT_FSIZE",
    "open_files": "RLIMIT_NOFILE",
    "cpu_seconds": "RLIMIT_CPU",
    "processes": "RLIMIT_NPROC",
}


def main() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    request = json.load(sys.stdin.buffer)
    _limit(request["limits"])
    # Added, not replaced: the interpreter may be another one, with a standard library of its own.
    sys.path += [path for path in request["sys_path"] if path not in sys.path]
    answers.write(_answer(request))
    answers.close()
    # A thread or an exit handler of the tool must not keep the process.
    sys.stdout.flush()
    os._exit(0)


def become(limits: str, argv: list[str]) -> None:
    _limit(json.loads(limits))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and a program inherits that
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - the program that the caller checked
    except OSError as problem:
        sys.exit(f"cannot start {argv[0]!r}: {problem.strerror}")


def _answer(request: dict[str, Any]) -> bytes:
    try:
        output = _call(_found(request["tool"]), request["args"])
        return b'{"ok": true, "output": ' + _json(output) + b"}"
    except (Exception, SystemExit) as error:
        text = str(error) or type(error).__name__
        return json.dumps({"ok": False, "error": text}).encode()


def _call(tool: Any, args: dict[str, Any]) -> Any:
    execute = getattr(tool, "execute", None)
    if execute is None and not inspect.iscoroutinefunction(tool):
        return tool(**args)
    import anyio  # costs time that a plain function does not need

    return anyio.run(execute, args) if execute else anyio.run(lambda: tool(**args))


def _json(value: Any) -> bytes:
    try:
        return json.dumps(value, allow_nan=False).encode()
    except (TypeError, ValueError):
        from pydantic_core import to_json

        return to_json(value, fallback=str, inf_nan_mode="strings", bytes_mode="base64")


def _found(where: dict[str, str]) -> Any:
    found: Any = _module(where)
    for name in where["name"].split("."):
        found = getattr(found, name)
    return found


def _module(where: dict[str, str]) -> Any:
    """The module of the tool: by name, or by file where it has no name that others can import."""
    if where["module"] == "__main__":
        return type("Main", (), runpy.run_path(where["file"], run_name="__loom_tool__"))
    try:
        return importlib.import_module(where["module"])
    except ModuleNotFoundError:
        spec = importlib.util.spec_from_file_location(where["module"], where["file"])
        if spec is None or spec.loader is None:
            raise
        module = sys.modules[where["module"]] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def _limit(limits: dict[str, int | None]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, constant in _LIMITS.items():
        kind, wanted = getattr(resource, constant), limits.get(name)
        _, most = resource.getrlimit(kind)
        if wanted is not None:
            wanted = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
            resource.setrlimit(kind, (wanted, wanted))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        become(sys.argv[1], sys.argv[2:])
    main()
