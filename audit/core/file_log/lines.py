"""The lines of a log, those of its rotated files included."""

from __future__ import annotations

import glob
import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from audit.core.entry import AuditEntry, link_of_line


def lines_of(path: Path) -> Iterator[bytes]:
    """All lines there are now, the oldest file first. Files are opened at once, so that a rotation does no harm."""
    rotated = [other for other in path.parent.glob(glob.escape(path.name) + "*") if _is_rotated(path, other)]
    files = sorted((_opened(other) for other in rotated), key=_first_seq)
    if path.exists():
        size = path.stat().st_size
        return _read(files, open(path, "rb"), size)
    return _read(files, None, 0)


def entry_of(line: bytes) -> AuditEntry | None:
    try:
        return AuditEntry.model_validate_json(line)
    except ValidationError:
        return None


def _is_rotated(path: Path, other: Path) -> bool:
    return re.fullmatch(r"[.-]\d[\d.-]*(\.gz)?", other.name.removeprefix(path.name)) is not None


def _opened(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _first_seq(file: BinaryIO) -> int:
    link = link_of_line(file.readline().rstrip(b"\n"))
    file.seek(0)
    return link.seq if link else 0


def _read(rotated: list[BinaryIO], current: BinaryIO | None, size: int) -> Iterator[bytes]:
    for file in rotated:
        with file:
            yield from (line.rstrip(b"\n") for line in file)
    if current is None:
        return
    with current:
        read = 0
        for line in current:
            read += len(line)
            if read > size:
                return
            yield line.rstrip(b"\n")
