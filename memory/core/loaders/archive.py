"""Documents that are ZIP archives of XML, as those of office programs are."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memory.core.loaders.base import DocumentError, file_at, too_large

MAX_PARTS = 10_000
_CONTENTS = "[Content_Types].xml"


@contextmanager
def unpacked(path: str | Path, kind: str, max_bytes: int) -> Iterator[Path]:
    """The file, when it is such an archive and unpacks to no more than `max_bytes`, for as long as it is read.

    Raises DocumentError, also for whatever the parser inside of the block stumbles over. An archive of kilobytes can
    unpack to terabytes; what it says of its sizes holds, because no more than that is unpacked.
    """
    file = file_at(path, max_bytes)
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
        if _CONTENTS not in {part.filename for part in parts}:
            raise DocumentError(f"it has no {_CONTENTS}")
        if len(parts) > MAX_PARTS:
            raise DocumentError(f"it has {len(parts):,} parts; {MAX_PARTS:,} are read at most")
        size = sum(part.file_size for part in parts)
        if size > max_bytes:
            raise too_large(file, f"unpacks to {size:,} bytes", max_bytes)
        yield file
    except Exception as error:  # a parser that is given anything raises anything
        if isinstance(error, DocumentError) and error.facts:
            raise
        raise DocumentError(f"{file} cannot be read as {kind}: {error.__cause__ or error}", path=str(file)) from error
