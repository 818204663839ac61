"""Plain text and Markdown."""

from __future__ import annotations

import codecs
from pathlib import Path

from memory.core.loaders.base import MAX_BYTES, Document, read_bytes

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def load_text(path: str | Path, *, max_bytes: int = MAX_BYTES) -> Document:
    """A text file under its name as the heading."""
    document = load_markdown(path, max_bytes=max_bytes)
    metadata = document.metadata | {"format": "text"}
    return Document(f"# {Path(path).name}\n\n{document.content}", metadata)


def load_markdown(path: str | Path, *, max_bytes: int = MAX_BYTES) -> Document:
    """A Markdown file as it is."""
    data = read_bytes(path, max_bytes)
    content = decoded(data)
    metadata = {
        "source": str(path),
        "format": "markdown",
        "byte_count": len(data),
        "line_count": len(content.splitlines()),
    }
    return Document(content, metadata)


def decoded(data: bytes) -> str:
    """The text of a file: by its byte order mark, else UTF-8, else Windows-1252, as browsers read what says nothing.

    Line ends become `\\n`. What the encoding does not know becomes U+FFFD.
    """
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode("cp1252" if encoding == "utf-8" else encoding, errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")
