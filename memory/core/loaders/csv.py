"""Values separated by commas or tabs."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from memory.core.loaders.base import MAX_BYTES, Document, DocumentError, read_bytes
from memory.core.loaders.tables import check_size, table
from memory.core.loaders.text import decoded

EMPTY = "(empty)"


def load_csv(path: str | Path, *, max_bytes: int = MAX_BYTES) -> Document:
    """Values separated by commas as one table. `row_count` is without the first row, which names the columns."""
    return _load(path, max_bytes, "csv", csv.excel)


def load_tsv(path: str | Path, *, max_bytes: int = MAX_BYTES) -> Document:
    """Values separated by tabs as one table. `row_count` is without the first row, which names the columns."""
    return _load(path, max_bytes, "tsv", csv.excel_tab)


def _load(path: str | Path, max_bytes: int, name: str, dialect: type[csv.Dialect]) -> Document:
    text = decoded(read_bytes(path, max_bytes))
    check_size(text.count(dialect.delimiter) + text.count("\n"), 1)  # before the reader holds them all
    try:
        rows = [row for row in csv.reader(io.StringIO(text), dialect) if row]
    except csv.Error as error:
        raise DocumentError(f"{path} is not readable as {name.upper()}: {error}", path=str(path)) from error
    metadata = {
        "source": str(path),
        "format": name,
        "row_count": max(len(rows) - 1, 0),
        "column_count": max(map(len, rows), default=0),
    }
    return Document(table(rows) or EMPTY, metadata)
