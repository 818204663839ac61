"""What is loaded, what it is cut into, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loom.errors import Invalid

MAX_BYTES = 128 * 1024 * 1024


class DocumentError(Invalid, ValueError):
    """A document cannot be read."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file as Markdown, and what is known about it: its `source`, its `format`, and what the format tells."""

    content: str
    metadata: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.content)

    def __bool__(self) -> bool:
        return True  # also an empty document is one


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a text, and what is known about it. Searches filter by its metadata."""

    content: str
    metadata: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.content)

    def __bool__(self) -> bool:
        return True  # also an empty piece is one


def file_at(path: str | Path, max_bytes: int) -> Path:
    """The file. Raises FileNotFoundError when it is not there, DocumentError when it is too large or no file."""
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"no document at {file}")
    if not file.is_file():
        raise DocumentError(f"{file} is not a file")
    size = file.stat().st_size
    if size > max_bytes:
        raise too_large(file, f"has {size:,} bytes", max_bytes)
    return file


def read_bytes(path: str | Path, max_bytes: int) -> bytes:
    """All of a file. Also one that says nothing of its size, as those of the system do, is read no further."""
    file = file_at(path, max_bytes)
    with file.open("rb") as opened:
        data = opened.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise too_large(file, "has more bytes than it says", max_bytes)
    return data


def too_large(file: Path, what: str, max_bytes: int) -> DocumentError:
    return DocumentError(f"{file} {what}; {max_bytes:,} are read at most: split it, or give max_bytes=", path=str(file))
