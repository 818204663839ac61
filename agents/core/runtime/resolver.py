"""From a name to a runtime."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from agents.core.runtime.base import InProcRuntime, Runtime
from loom.errors import ConfigError, unknown

BACKENDS = {
    "inproc": "agents.core.runtime.base:InProcRuntime",
    "sqlite": "agents.core.runtime.sqlite:SqliteRuntime",
}
_KEYS = ("backend", "path", "url")


def resolve_runtime(spec: Runtime | str | Mapping[str, Any] | None) -> Runtime:
    """The runtime that a spec names: None and `inproc`, `sqlite:path`, `{"backend": …, "path": …}`, or an instance.

    `sqlite` alone keeps its journals in `loom-runtime.db`, in the working directory.

    Raises ConfigError for an unknown backend or key.
    """
    if spec is None:
        return InProcRuntime()
    if isinstance(spec, str):
        backend, _, path = spec.partition(":")
        return _make(backend, path)
    if isinstance(spec, Mapping):
        return _from_mapping(spec)
    if isinstance(spec, Runtime):
        return spec
    raise ConfigError(f"a runtime is a name, a mapping or has `step` and `session`; {spec!r} has not")


def _from_mapping(spec: Mapping[str, Any]) -> Runtime:
    for key in spec:
        if key not in _KEYS:
            raise unknown("runtime", key, _KEYS)
    return _make(str(spec.get("backend", "inproc")), str(spec.get("path") or spec.get("url") or ""))


def _make(backend: str, path: str) -> Runtime:
    if backend.startswith("postgres"):
        raise ConfigError("connect to PostgreSQL first: runtime=await PostgresRuntime.connect(dsn)")
    if backend not in BACKENDS:
        raise ConfigError(f"no runtime {backend!r}; there are {', '.join(sorted(BACKENDS))}")
    module, _, name = BACKENDS[backend].partition(":")
    made: Runtime = getattr(import_module(module), name)(*([path] if path else []))
    return made
