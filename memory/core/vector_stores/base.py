"""What a vector store is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from memory.core.loaders.base import Chunk


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A chunk and how well it fits: the higher the score, the better."""

    chunk: Chunk
    score: float
    id: str


@runtime_checkable
class VectorStore(Protocol):
    """Chunks found by what they are about.

    `filter` restricts a search by metadata (see `filters`). `diversity`, from 0 to 1, prefers results that differ from
    one another; the results then come in the order in which they were chosen, each with its own score.
    """

    async def add(self, chunks: list[Chunk], ids: list[str] | None = None) -> list[str]:
        """Store chunks and return their ids. An id that is there already gets the new chunk."""
        ...

    async def delete(self, ids: list[str]) -> None:
        """Remove chunks. Ids that are not there are none to remove."""
        ...

    async def search(
        self, query: str, *, k: int = 4, filter: Mapping[str, Any] | None = None, diversity: float | None = None
    ) -> list[SearchResult]: ...

    async def search_by_vector(
        self,
        vector: list[float],
        *,
        k: int = 4,
        filter: Mapping[str, Any] | None = None,
        diversity: float | None = None,
    ) -> list[SearchResult]: ...

    async def count(self) -> int: ...

    async def get_by_ids(self, ids: list[str]) -> list[Chunk]:
        """The chunks in the order of the ids, without those that are not there."""
        ...
