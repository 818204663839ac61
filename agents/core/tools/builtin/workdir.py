"""What the file tools share: the directory they work in, and how a problem is told to the model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from agents.core.tools.beneath import Beneath, PathEscapeError

Self = TypeVar("Self")
P = ParamSpec("P")

# Folders that a search of somebody's project is never about.
NOISE = frozenset(
    {
        ".git", ".hg", ".svn", ".loom", ".idea", ".vscode", ".tox", ".nox", ".venv", "venv", "env", "node_modules",
        "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".cache", "site-packages", "dist", "build",
        "target", ".next", ".eggs",
    }
)  # fmt: skip


def default_workdir() -> Path:
    """Where tools work when they are not told: the directory that the process was started in."""
    return Path.cwd()


def folder(workdir: Path | str | Beneath | None) -> Beneath:
    return workdir if isinstance(workdir, Beneath) else Beneath(workdir if workdir is not None else default_workdir())


def told(fn: Callable[Concatenate[Self, P], str]) -> Callable[Concatenate[Self, P], str]:
    """Let a method answer `ERROR: …` for what is wrong with a path: the model can do something about it."""

    @functools.wraps(fn)
    def inner(self: Self, /, *args: P.args, **kwargs: P.kwargs) -> str:
        try:
            return fn(self, *args, **kwargs)
        except PathEscapeError as exc:
            return f"ERROR: {exc}"
        except OSError as exc:
            return f"ERROR: {_reason(exc)}"

    return inner


def shown(name: object) -> str:
    """A file name as one line of plain text: a name may hold line breaks and terminal codes."""
    text = str(name)
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _reason(exc: OSError) -> str:
    name = repr(exc.filename)
    match exc:
        case FileNotFoundError():
            return f"{name} not found"
        case IsADirectoryError():
            return f"{name} is not a regular file"
        case NotADirectoryError():
            return f"{name} is not a directory"
    return f"{exc.strerror or exc}: {name}"
