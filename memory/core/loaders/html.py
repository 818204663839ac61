"""Web pages."""

from __future__ import annotations

import codecs
import re
import warnings
from pathlib import Path
from typing import Any

from memory.core.extras import imported
from memory.core.loaders.base import MAX_BYTES, Document, DocumentError, read_bytes
from memory.core.loaders.text import decoded

# The reader gives every row of a table up to 1,500 cells: a megabyte of nothing but rows would become half a gigabyte.
MAX_ROWS = 50_000

_ROWS = re.compile(r"<t(?:r|body|head|foot|able)\b|colspan", re.IGNORECASE)
_CHARSET = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w-]+)""", re.IGNORECASE)
_HEAD = 4096  # bytes in which a page may say how it is encoded


def load_html(path: str | Path, *, max_bytes: int = MAX_BYTES) -> Document:
    """A web page under its title: what a reader would see, without scripts, styles and hidden elements.

    Raises DocumentError for tables with more than 50,000 rows in all.
    """
    reader = imported("html_to_markdown", extra="documents")
    text = _text(read_bytes(path, max_bytes))
    if sum(1 for _ in _ROWS.finditer(text)) > MAX_ROWS:
        raise DocumentError(f"the tables of {path} have more than {MAX_ROWS:,} rows: split it", path=str(path))
    page = _converted(reader, text)
    for warning in page.warnings:
        warnings.warn(f"{path}: {warning.message}", RuntimeWarning, stacklevel=2)
    title = _title(reader, text)
    content = page.content.strip()
    if title and content.partition("\n")[0] != f"# {title}":
        content = f"# {title}\n\n{content}".rstrip()
    return Document(content, {"source": str(path), "format": "html", "title": title})


def _text(data: bytes) -> str:
    """The page by its byte order mark, else by what it says of itself, else as any other text."""
    said = _CHARSET.search(data[:_HEAD])
    try:
        encoding = codecs.lookup(said[1].decode("ascii")).name if said else "utf-8"
        return decoded(data) if encoding == "utf-8" else data.decode(encoding, errors="replace")
    except (LookupError, UnicodeError):  # no such encoding, or none of texts
        return decoded(data)


def _converted(reader: Any, text: str) -> Any:
    options = reader.ConversionOptions(
        bullets="-",
        capture_svg=False,
        compact_tables=True,
        extract_metadata=False,  # else it begins with front matter in YAML
        inline_data_media="alt_text_only",
        preprocessing=reader.PreprocessingOptions(enabled=False),  # else it drops what it takes for navigation
    )
    return reader.convert(text, options)


def _title(reader: Any, text: str) -> str:
    return " ".join((reader.convert(text).metadata.document.title or "").split())
