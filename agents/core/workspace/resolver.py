"""From what a person writes (`workspace="notes/"`) to a workspace."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents.core.workspace.in_memory import InMemoryWorkspace
from agents.core.workspace.local_disk import TEMP_PREFIX, LocalDiskWorkspace
from agents.core.workspace.protocol import Workspace
from agents.core.workspace.values import WorkspaceMembership
from loom.errors import ConfigError, unknown

_KEYS = ("backend", "path", "prefix", "seed", "cleanup", "author", "teammates")
_IN_MEMORY = ("memory", "inmemory")


def resolve_workspace(spec: Any) -> Workspace | WorkspaceMembership | None:
    """None, `memory`, `temp`, `temp:<prefix>`, the path of a folder, a mapping, a membership or a workspace itself.

    A mapping with `author` or `teammates` gives a membership. Raises ConfigError for what it cannot read.
    """
    if spec is None or isinstance(spec, WorkspaceMembership):
        return spec
    if isinstance(spec, Path):
        return LocalDiskWorkspace(spec)
    if isinstance(spec, str):
        return _from_string(spec.strip())
    if isinstance(spec, Mapping):
        return _from_mapping(spec)
    if isinstance(spec, Workspace):
        return spec
    raise ConfigError(f"a workspace is a path, 'temp', 'memory', a mapping or a Workspace, not {type(spec).__name__}")


def _from_string(spec: str) -> Workspace:
    if not spec:
        raise ConfigError("the workspace is empty text; give a path, 'temp' or 'memory'")
    if spec in _IN_MEMORY:
        return InMemoryWorkspace()
    name, _, prefix = spec.partition(":")
    if name == "temp":
        return LocalDiskWorkspace.temp(prefix=prefix or TEMP_PREFIX)
    return LocalDiskWorkspace(spec)


def _from_mapping(spec: Mapping[str, Any]) -> Workspace | WorkspaceMembership:
    for key in spec:
        if key not in _KEYS:
            raise unknown("workspace", key, _KEYS)
    workspace = _backend(spec)
    if "author" in spec or "teammates" in spec:
        return workspace.member(spec.get("author"), teammates=spec.get("teammates"))
    return workspace


def _backend(spec: Mapping[str, Any]) -> Workspace:
    backend = spec.get("backend", "disk" if "path" in spec else None)
    seeds = [spec["seed"]] if isinstance(spec.get("seed"), str | Path) else spec.get("seed")
    if backend in _IN_MEMORY:
        return InMemoryWorkspace()
    if backend == "temp":
        prefix = spec.get("prefix") or TEMP_PREFIX
        return LocalDiskWorkspace.temp(prefix=prefix, seed_paths=seeds, cleanup=bool(spec.get("cleanup", True)))
    if backend == "disk":
        if not spec.get("path"):
            raise ConfigError("a workspace on disk needs a path")
        return LocalDiskWorkspace(spec["path"], seed_paths=seeds, cleanup_on_close=bool(spec.get("cleanup", False)))
    if backend is not None and not isinstance(backend, str) and isinstance(backend, Workspace):
        return backend
    raise ConfigError(
        f"no workspace backend {backend!r}; it may be memory, temp, disk, or a Workspace", backend=str(backend)
    )
