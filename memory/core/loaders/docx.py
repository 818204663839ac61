"""Documents of Word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from memory.core.extras import imported
from memory.core.loaders.archive import unpacked
from memory.core.loaders.base import MAX_BYTES, Document
from memory.core.loaders.tables import table

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_PASSED_OVER = {_FALLBACK, f"{_W}moveFrom", f"{_W}del"}  # said twice, or no longer said
_WRAPPERS = {f"{_W}{name}" for name in ("sdt", "sdtContent", "customXml", "smartTag", "ins", "moveTo")}
_BREAKS = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}
_MAX_SPAN = 63  # Word's own limit of columns
_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)


def load_docx(path: str | Path, *, max_bytes: int = MAX_BYTES) -> Document:
    """A document of Word: headings, paragraphs, lists and tables in their order, tracked changes as accepted.

    Headers, footers, notes and comments are left out. Raises DocumentError for what cannot be read.
    """
    docx = imported("docx", extra="documents")
    with unpacked(path, "DOCX", max_bytes) as file:
        document = docx.Document(str(file))
        styles = _styles(document)
        blocks = [(block.tag, _block(block, styles)) for block in _inside(document.element.body)]
    content = _joined([(tag, text) for tag, text in blocks if text])
    metadata = {
        "source": str(path),
        "format": "docx",
        "paragraph_count": sum(tag == f"{_W}p" for tag, _ in blocks),
        "table_count": sum(tag == f"{_W}tbl" for tag, _ in blocks),
    }
    return Document(content, metadata)


def _inside(element: Any) -> Iterator[Any]:
    """Paragraphs and tables of a body or a cell, rows of a table, cells of a row: also those in wrappers."""
    for child in element:
        if child.tag in _WRAPPERS:
            yield from _inside(child)
        elif child.tag in {f"{_W}p", f"{_W}tbl", f"{_W}tr", f"{_W}tc"}:
            yield child


def _block(block: Any, styles: dict[str, tuple[str, bool]]) -> str:
    if block.tag == f"{_W}tbl":
        return table([_row(row) for row in _inside(block)])
    text = _text(block).strip()
    return f"{_mark(block, styles)}{text}" if text else ""


def _row(row: Any) -> list[str]:
    cells = []
    for cell in _inside(row):
        span = cell.find(f"{_W}tcPr/{_W}gridSpan")
        width = int(span.get(f"{_W}val", "1")) if span is not None else 1
        cells += [_cell(cell), *[""] * (min(width, _MAX_SPAN) - 1)]
    return cells


def _cell(cell: Any) -> str:
    """What a cell says; of a table in it, the cells one after the other."""
    parts = [_cell(part) if part.tag != f"{_W}p" else _text(part) for part in _inside(cell)]
    return " ".join(part.strip() for part in parts if part.strip())


def _text(element: Any) -> str:
    if element.tag in _BREAKS:
        return _BREAKS[element.tag]
    if element.tag == f"{_W}t":
        return str(element.text or "")
    return "".join(_text(child) for child in element if child.tag not in _PASSED_OVER)


def _mark(paragraph: Any, styles: dict[str, tuple[str, bool]]) -> str:
    """What Markdown puts before a paragraph of this style."""
    style = paragraph.find(f"{_W}pPr/{_W}pStyle")
    name, is_listed = styles.get(style.get(f"{_W}val") if style is not None else "", ("", False))
    heading = _HEADING.fullmatch(name)
    if heading or name.lower() == "title":
        return "#" * min(int(heading[1]) if heading else 1, 6) + " "
    numbering = paragraph.find(f"{_W}pPr/{_W}numPr")
    if numbering is None:
        return "- " if is_listed else ""
    level = numbering.find(f"{_W}ilvl")
    depth = int(level.get(f"{_W}val", "0")) if level is not None else 0
    return "  " * min(depth, 8) + "- "


def _styles(document: Any) -> dict[str, tuple[str, bool]]:
    """Id of a style → its name, and whether its paragraphs are items of lists."""
    return {
        style.style_id: (style.name or "", (style.name or "").lower().startswith("list ")) for style in document.styles
    }


def _joined(blocks: list[tuple[str, str]]) -> str:
    """Blocks with an empty line between them, items of one list without."""
    parts: list[str] = []
    for before, (_, text) in zip([("", ""), *blocks], blocks, strict=False):
        is_one_list = before[1].lstrip().startswith("- ") and text.lstrip().startswith("- ")
        parts += ["\n" if is_one_list else "\n\n", text]
    return "".join(parts[1:])
