"""Documents of Word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
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
_HEADING = re.compile(r"heading ([1-9])", re.IGNORECASE)
_ITEM = re.compile(r"list (?:bullet|number)(?: ([2-5]))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Style:
    """The level of a heading, 0 for none; of an item of a list its depth from 0, None for no item."""

    heading: int = 0
    item: int | None = None


_PLAIN = _Style()


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


def _block(block: Any, styles: dict[str, _Style]) -> str:
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


def _mark(paragraph: Any, styles: dict[str, _Style]) -> str:
    """What Markdown puts before a paragraph of this style."""
    named = paragraph.find(f"{_W}pPr/{_W}pStyle")
    style = styles.get(named.get(f"{_W}val"), _PLAIN) if named is not None else _PLAIN
    if style.heading:
        return "#" * style.heading + " "
    numbering = paragraph.find(f"{_W}pPr/{_W}numPr")
    if numbering is None:
        return "" if style.item is None else "  " * style.item + "- "
    if _value(numbering, "numId") == "0":  # a list that the style begins and the paragraph leaves
        return ""
    return "  " * min(int(_value(numbering, "ilvl") or 0), 8) + "- "


def _styles(document: Any) -> dict[str, _Style]:
    return {style.style_id: _style(style.name or "", style.element) for style in document.styles}


def _style(name: str, element: Any) -> _Style:
    heading, item = _HEADING.fullmatch(name), _ITEM.match(name)
    if heading or name.lower() == "title":
        return _Style(heading=min(int(heading[1]), 6) if heading else 1)
    if item or element.find(f"{_W}pPr/{_W}numPr") is not None:
        return _Style(item=int(item[1]) - 1 if item and item[1] else 0)
    return _PLAIN


def _value(element: Any, name: str) -> str | None:
    found = element.find(f"{_W}{name}")
    return found.get(f"{_W}val") if found is not None else None


def _joined(blocks: list[tuple[str, str]]) -> str:
    """Blocks with an empty line between them, items of one list without."""
    parts: list[str] = []
    for before, (_, text) in zip([("", ""), *blocks], blocks, strict=False):
        is_one_list = before[1].lstrip().startswith("- ") and text.lstrip().startswith("- ")
        parts += ["\n" if is_one_list else "\n\n", text]
    return "".join(parts[1:])
