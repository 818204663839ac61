"""One function for all ways of cutting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, cast

from memory.core.chunkers import STRATEGIES
from memory.core.loaders.base import Chunk


def chunk(
    text: str,
    *,
    strategy: str = "recursive",
    chunk_size: int = 800,
    chunk_overlap: int = 100,
    source: str = "",
    separators: Sequence[str] | None = None,
    encoding: str = "cl100k_base",
) -> list[Chunk]:
    """Cut a text: `recursive`, `markdown`, `sentence` (sizes in characters) or `token` (sizes in tokens).

    `separators` are for `recursive` and `encoding` is for `token`. Raises ValueError for a strategy that does not exist
    and for sizes that make no sense.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"no strategy {strategy!r} for chunks; one of {', '.join(STRATEGIES)}")
    more: dict[str, Any] = {}
    if strategy == "recursive" and separators is not None:
        more["separators"] = separators
    if strategy == "token":
        more["encoding"] = encoding
    module, _, name = STRATEGIES[strategy].partition(":")
    chunker = cast(Callable[..., Any], getattr(import_module(module), name))  # so says the table
    pieces: list[Chunk] = chunker(chunk_size, chunk_overlap, **more).split(text, source=source)
    return pieces
