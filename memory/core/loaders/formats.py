"""Which loader reads which files."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import cast

from memory.core.loaders.base import MAX_BYTES, Document

FORMATS = {
    ".pdf": "memory.core.loaders.pdf:load_any_pdf",
    ".docx": "memory.core.loaders.docx:load_docx",
    ".xlsx": "memory.core.loaders.excel:load_excel",
    ".xlsm": "memory.core.loaders.excel:load_excel",
    ".csv": "memory.core.loaders.csv:load_csv",
    ".tsv": "memory.core.loaders.csv:load_tsv",
    ".md": "memory.core.loaders.text:load_markdown",
    ".markdown": "memory.core.loaders.text:load_markdown",
    ".txt": "memory.core.loaders.text:load_text",
    ".html": "memory.core.loaders.html:load_html",
    ".htm": "memory.core.loaders.html:load_html",
}


def load(path: str | Path, *, max_bytes: int = MAX_BYTES) -> Document:
    """A file as Markdown, read by the loader of its extension. A PDF is read by the best backend that is installed.

    Raises ValueError for an extension that nothing reads, FileNotFoundError, DocumentError (a ValueError) for what
    cannot be read or has more than `max_bytes`, and ImportError for a package that is missing.
    """
    extension = Path(path).suffix.lower()
    if extension not in FORMATS:
        raise ValueError(f"nothing reads {str(path)!r}; supported are {', '.join(FORMATS)}")
    module, _, name = FORMATS[extension].partition(":")
    read = cast(Callable[..., Document], getattr(import_module(module), name))  # so says the table
    return read(path, max_bytes=max_bytes)
