"""Workbooks of Excel."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from memory.core.extras import imported
from memory.core.loaders.archive import unpacked
from memory.core.loaders.base import MAX_BYTES, Document, DocumentError
from memory.core.loaders.csv import EMPTY
from memory.core.loaders.tables import check_size, table

MAX_ROWS = 1_048_576  # Excel's own limit; a file can say that its only row is the billionth


def load_excel(path: str | Path, *, max_bytes: int = MAX_BYTES) -> Document:
    """A workbook: a table for each sheet, without the empty rows and columns around it.

    A formula is read as the value that was last computed for it. Raises DocumentError for what cannot be read.
    """
    openpyxl = imported("openpyxl", extra="documents")
    # Opened here, for openpyxl leaves a file open that it cannot read.
    with unpacked(path, "XLSX", max_bytes) as file, file.open("rb") as data:
        book = openpyxl.load_workbook(data, read_only=True, data_only=True, keep_links=False)
        try:
            sheets = _tables(book, max_bytes)
        finally:
            book.close()
    parts = [f"# {Path(path).stem}", *(f"## {name}\n\n{content or EMPTY}" for name, content in sheets.items())]
    metadata = {
        "source": str(path),
        "format": "xlsx",
        "sheet_count": len(sheets),
        "sheet_names": list(sheets),
    }
    return Document("\n\n".join(parts), metadata)


def _tables(book: Any, max_bytes: int) -> dict[str, str]:
    tables: dict[str, str] = {}
    for sheet in book.worksheets:
        tables[sheet.title] = _table(sheet, max_bytes - sum(map(len, tables.values())))
    return tables


def _table(sheet: Any, max_letters: int) -> str:
    sheet.reset_dimensions()  # a sheet may say that it is larger than what it holds
    rows: list[list[str]] = []
    number = seen = letters = 0
    for values in sheet.iter_rows(values_only=True):
        number, seen = number + 1, seen + len(values)
        check_size(seen, 1)
        if number > MAX_ROWS:
            raise DocumentError(f"a sheet has more than {MAX_ROWS:,} rows")
        row = _trimmed([_text(value) for value in values])
        letters += sum(map(len, row))
        if letters > max_letters:  # many cells can hold the same long text, which the file has once
            raise DocumentError(f"its cells hold more than {letters:,} letters: give max_bytes=")
        if row or rows:
            rows.append(row)
    while rows and not rows[-1]:
        rows.pop()
    left = min((_first(row) for row in rows if row), default=0)
    return table([row[left:] for row in rows])


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def _trimmed(row: list[str]) -> list[str]:
    while row and not row[-1].strip():
        row.pop()
    return row


def _first(row: Sequence[str]) -> int:
    return next(place for place, cell in enumerate(row) if cell.strip())
