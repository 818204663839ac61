"""What documents are cut into."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a text, and what is known about it. Searches filter by its metadata."""

    content: str
    metadata: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.content)

    def __bool__(self) -> bool:
        return True  # also an empty piece is one
