"""Rows of cells as a table in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from memory.core.loaders.base import DocumentError

MAX_CELLS = 5_000_000  # the widest row decides about all: few long rows among many short ones would fill the memory


def table(rows: Iterable[Sequence[str]]) -> str:
    """The rows as a table whose head is the first of them. Short rows are filled up; without a cell it is empty."""
    cells = [[cell_text(cell) for cell in row] for row in rows]
    width = max(map(len, cells), default=0)
    if not width:
        return ""
    check_size(len(cells), width)
    lines = [_line(row + [""] * (width - len(row))) for row in cells]
    return "\n".join([lines[0], _line(["---"] * width), *lines[1:]])


def check_size(rows: int, width: int) -> None:
    if rows * width > MAX_CELLS:
        raise DocumentError(
            f"a table of {rows:,} rows and {width:,} columns has too many cells; "
            f"{MAX_CELLS:,} are read at most: split it"
        )


def cell_text(text: str) -> str:
    """A text that ends neither its cell nor its row."""
    lines = [line.strip() for line in text.splitlines()]
    return " ".join(line for line in lines if line).replace("|", "\\|")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
