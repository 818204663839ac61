"""From what a person writes (`memory="sqlite:bot.db"`) to a memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

from loom.errors import ConfigError, unknown
from memory.core.backends import BACKENDS, TAKES, Options
from memory.core.backends.location import shown
from memory.core.protocol import Embedder, Memory

EMBEDDERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "hash": ("HashEmbedder", ()),
    "openai": ("OpenAIEmbedder", ("text-embedding-3-small",)),
    "openai-small": ("OpenAIEmbedder", ("text-embedding-3-small",)),
    "openai-large": ("OpenAIEmbedder", ("text-embedding-3-large",)),
    "voyage": ("VoyageEmbedder", ()),
    "cohere": ("CohereEmbedder", ()),
}
SCHEMES = {"postgres": "postgres", "postgresql": "postgres", "redis": "redis", "rediss": "redis"}

_SAME = {
    "backend": ("backend", "type"),
    "location": ("path", "url", "dsn", "persist_directory"),
    "namespace": ("namespace", "collection_name"),
    "key_prefix": ("key_prefix",),
    "use_vector_index": ("use_vector_index",),
    "with_facts": ("with_facts",),
    "embedder": ("embedder",),
}
_PLAIN = Options(with_facts=False)
_METHODS = tuple(name for name in vars(Memory) if not name.startswith("_"))


def resolve_memory(spec: Memory | str | Mapping[str, Any] | None) -> Memory:
    """The memory that a spec names: None, a string, a mapping, or a memory itself.

    A string or mapping attaches a fact store. Its embedder is OpenAI's when OPENAI_API_KEY is set; otherwise there is
    none and recall goes by words. Raises ConfigError for what it cannot read.
    """
    if spec is None:
        return _build("inmemory", _PLAIN)
    if isinstance(spec, str):
        return _from_string(spec.strip())
    if isinstance(spec, Mapping):
        return _from_mapping(spec)
    missing = [name for name in _METHODS if not hasattr(spec, name)]
    if missing:
        raise ConfigError(f"{type(spec).__name__} is not a memory: it has no {', '.join(missing)}")
    return spec


def _from_string(spec: str) -> Memory:
    scheme, _, rest = spec.partition("://")
    if rest and scheme in SCHEMES:
        return _build(SCHEMES[scheme], Options(location=spec, embedder=_default_embedder()))
    name, _, location = spec.partition(":")
    if name not in BACKENDS or (location and name in {"inmemory", *SCHEMES}):
        raise ConfigError(
            f"no memory {shown(spec)!r}; use inmemory, sqlite:<path>, chroma:<directory>, postgresql://… or redis://…",
            spec=shown(spec),
        )
    return _build(name, Options(location=location or None, embedder=_default_embedder()))


def _from_mapping(spec: Mapping[str, Any]) -> Memory:
    given = _renamed(spec)
    name = given.pop("backend", None)
    if name not in BACKENDS:
        raise ConfigError(f"no memory backend {name!r}; one of {', '.join(BACKENDS)}", spec=dict(spec))
    embedder = given.pop("embedder", None)
    for option in sorted(given.keys() - TAKES[name] - {"with_facts"}):
        raise ConfigError(f"a memory of the backend {name!r} has no {option}", backend=name, key=option)
    return _build(name, Options(embedder=_embedder(embedder) if embedder else _default_embedder(), **given))


def _renamed(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec with one name for each thing that has several."""
    given: dict[str, Any] = {}
    for key, value in spec.items():
        name = next((name for name, same in _SAME.items() if key in same), None)
        if name is None:
            raise unknown("memory", key, (key for same in _SAME.values() for key in same))
        if name in given:
            raise ConfigError(f"a memory spec says {name} twice: give one of {', '.join(_SAME[name])}", key=str(key))
        given[name] = value
    return given


def _embedder(spec: str | Embedder) -> Embedder:
    if not isinstance(spec, str):
        return spec
    if spec not in EMBEDDERS:
        raise ConfigError(f"no embedder {spec!r}; one of {', '.join(EMBEDDERS)}", spec=spec)
    name, arguments = EMBEDDERS[spec]
    make = getattr(import_module("memory.core.embedders"), name)
    return cast(Embedder, make(*arguments))  # the table above names embedders only


def _default_embedder() -> Embedder | None:
    return _embedder("openai") if os.environ.get("OPENAI_API_KEY") else None


def _build(name: str, options: Options) -> Memory:
    return _builder(name)(options)


@cache
def _builder(name: str) -> Callable[[Options], Memory]:
    module, _, function = BACKENDS[name].partition(":")
    if find_spec(module) is None:
        raise ConfigError(f"the memory backend {name!r} is not part of this installation ({module})", backend=name)
    return cast(Callable[[Options], Memory], getattr(import_module(module), function))  # so says the table
