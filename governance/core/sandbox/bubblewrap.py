"""A box around a command: its own file system, processes, users and network.

What is inside sees `/usr`, an empty `/tmp` and one workspace at `/ws`. Needs Linux and bubblewrap (`apt-get install
bubblewrap`); started as root it also needs setpriv, and every box runs under a user id that owns nothing else, since
bubblewrap as root would leave root outside of the box within reach.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from governance.core.sandbox.process import SEARCH_PATH, Limits
from loom.errors import SandboxError

TOOL_UID = 60001
_PROBE_SECONDS = 10


class Bubblewrap:
    """Makes command lines that run inside of a box. Raises SandboxError where the host has no such box.

    `workspace` is the one folder that can be written, shown as `/ws`; without one there is none. As root, the workspace
    is given to the user id of the box. `network=True` leaves the host's network visible.
    """

    def __init__(
        self,
        workspace: str | Path | None = None,
        *,
        limits: Limits | None = None,
        network: bool = False,
        env: Mapping[str, str] | None = None,
        tmp_bytes: int = 64 << 20,
        uid: int = TOOL_UID,
    ) -> None:
        self._programs = _programs()
        self._workspace = None if workspace is None else Path(workspace).resolve()
        self._limits = limits or Limits()
        self._network = network
        self._env = dict(env or {})
        self._tmp_bytes = tmp_bytes
        self._uid = uid
        _probe(self._programs, uid)
        if self._workspace is not None:
            self._take(self._workspace)

    def command(self, argv: Sequence[str], *, readable: Iterable[str | Path] = ()) -> list[str]:
        """The command line that runs `argv` in the box. `readable` are more paths that it may read.

        Raises SandboxError when a path cannot be reached by the user of the box.
        """
        return [
            *self._limited(),
            *_unprivileged(self._programs, self._uid),
            self._programs["bwrap"],
            *_WALLS,
            *(["--share-net"] if self._network else []),
            "--uid",
            str(self._uid),
            "--gid",
            str(self._uid),
            *self._binds(readable),
            *self._variables(),
            "--",
            *argv,
        ]

    def program(
        self, argv: Sequence[str], *, folder: Path, env: Mapping[str, str], readable: Iterable[str | Path] = ()
    ) -> list[str]:
        """The command line that runs a program in the box, in a folder that it may read and with exactly `env`."""
        variables = [f"{name}={value}" for name, value in env.items()]
        inside = ["/usr/bin/env", "--ignore-environment", f"--chdir={folder}", *variables, *argv]
        return self.command(inside, readable=[folder, *readable])

    def _limited(self) -> list[str]:
        wanted = {
            "--as": self._limits.memory_bytes,
            "--fsize": self._limits.file_bytes,
            "--nofile": self._limits.open_files,
            "--cpu": self._limits.cpu_seconds,
            "--nproc": self._limits.processes,
            "--core": 0,
        }
        limits = [f"{option}={value}" for option, value in wanted.items() if value is not None]
        return [self._programs["prlimit"], *limits, "--"]

    def _binds(self, readable: Iterable[str | Path]) -> list[str]:
        binds = ["--ro-bind", "/usr", "/usr"]
        for name in ("bin", "sbin", "lib", "lib32", "lib64"):
            path = Path("/", name)
            if path.is_symlink():
                binds += ["--symlink", os.readlink(path), str(path)]
            elif path.is_dir():
                binds += ["--ro-bind", str(path), str(path)]
        binds += ["--proc", "/proc", "--dev", "/dev", "--size", str(self._tmp_bytes), "--tmpfs", "/tmp"]  # noqa: S108 - the one in the box
        for path in _outermost(readable):
            self._require_reachable(path)
            binds += ["--ro-bind", str(path), str(path)]
        if self._workspace is None:
            return [*binds, "--chdir", "/tmp"]  # noqa: S108 - the one in the box
        return [*binds, "--bind", str(self._workspace), "/ws", "--chdir", "/ws"]

    def _variables(self) -> list[str]:
        variables = {"PATH": SEARCH_PATH, "LANG": "C.UTF-8", "HOME": "/tmp", "TMPDIR": "/tmp", **self._env}  # noqa: S108
        return [part for name, value in variables.items() for part in ("--setenv", name, value)]

    def _take(self, workspace: Path) -> None:
        if not workspace.is_dir():
            raise SandboxError(f"the workspace {workspace} is no folder", workspace=str(workspace))
        self._require_reachable(workspace.parent)
        if os.geteuid() == 0 and workspace.stat().st_uid != self._uid:
            os.chown(workspace, self._uid, self._uid)

    def _require_reachable(self, path: Path) -> None:
        """As root, the box has another user, who may not pass through somebody's private folders."""
        if os.geteuid() != 0:
            return
        for folder in (path, *path.parents):
            if not folder.stat().st_mode & 0o001 and folder.stat().st_uid != self._uid and folder.is_dir():
                raise SandboxError(
                    f"the sandbox user cannot pass through {folder} to {path}; use a folder that others may enter",
                    path=str(path),
                )


def prefixes(python: str) -> list[Path]:
    """What a Python of ours has to read in a box; another one, of the system, is there."""
    return [Path(sys.prefix), Path(sys.base_prefix)] if python == sys.executable else []


_WALLS = (
    "--unshare-user",
    "--unshare-all",
    "--disable-userns",
    "--cap-drop",
    "ALL",
    "--clearenv",
    "--new-session",
    "--die-with-parent",
)


def _programs() -> dict[str, str]:
    """Where the programs of this layer are. Raises SandboxError naming the one that is missing."""
    needed = {"bwrap": "bubblewrap", "prlimit": "util-linux"}
    if os.geteuid() == 0:
        needed["setpriv"] = "util-linux"
    found = {name: shutil.which(name) for name in needed}
    for name, path in found.items():
        if path is None:
            raise SandboxError(f"no {name} on this host: apt-get install {needed[name]}", missing=name)
    return {name: path for name, path in found.items() if path is not None}


def _probe(programs: Mapping[str, str], uid: int) -> None:
    """Raise SandboxError when this kernel does not let us build the box."""
    if (problem := _problem(tuple(sorted(programs.items())), uid)) is not None:
        raise SandboxError(f"bubblewrap cannot build a box on this host: {problem}")


@cache
def _problem(programs: tuple[tuple[str, str], ...], uid: int) -> str | None:
    paths = dict(programs)
    argv = [
        *_unprivileged(paths, uid),
        paths["bwrap"],
        *_WALLS,
        *("--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "/usr/bin/true"),
    ]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=_PROBE_SECONDS, env={}, check=False)  # noqa: S603 - ours
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.decode(errors="replace").strip() or f"exit {done.returncode}"


def _unprivileged(programs: Mapping[str, str], uid: int) -> list[str]:
    """As root: become the user of the box first."""
    if "setpriv" not in programs:
        return []
    return [programs["setpriv"], f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs", "--"]


def _outermost(paths: Iterable[str | Path]) -> list[Path]:
    """Existing folders and files, without those inside of others and those that are in the box anyway."""
    resolved = sorted({Path(path).resolve() for path in paths if path and Path(path).exists()})
    kept: list[Path] = [Path("/usr")]
    for path in resolved:
        if not any(path.is_relative_to(outer) for outer in kept):
            kept.append(path)
    return kept[1:]
