"""Documents as Markdown, and in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.chunkers.chunk import chunk as chunk
    from memory.core.chunkers.markdown import MarkdownChunker as MarkdownChunker
    from memory.core.chunkers.recursive import RecursiveChunker as RecursiveChunker
    from memory.core.chunkers.sentence import SentenceChunker as SentenceChunker
    from memory.core.chunkers.token import TokenChunker as TokenChunker
    from memory.core.loaders.base import Chunk as Chunk
    from memory.core.loaders.base import Document as Document
    from memory.core.loaders.csv import load_csv as load_csv
    from memory.core.loaders.csv import load_tsv as load_tsv
    from memory.core.loaders.docx import load_docx as load_docx
    from memory.core.loaders.excel import load_excel as load_excel
    from memory.core.loaders.formats import load as load
    from memory.core.loaders.html import load_html as load_html
    from memory.core.loaders.pdf import load_pdf as load_pdf
    from memory.core.loaders.text import load_markdown as load_markdown
    from memory.core.loaders.text import load_text as load_text

HOMES = {
    "Chunk": "memory.core.loaders.base",
    "Document": "memory.core.loaders.base",
    "MarkdownChunker": "memory.core.chunkers.markdown",
    "RecursiveChunker": "memory.core.chunkers.recursive",
    "SentenceChunker": "memory.core.chunkers.sentence",
    "TokenChunker": "memory.core.chunkers.token",
    "chunk": "memory.core.chunkers.chunk",
    "load": "memory.core.loaders.formats",
    "load_csv": "memory.core.loaders.csv",
    "load_docx": "memory.core.loaders.docx",
    "load_excel": "memory.core.loaders.excel",
    "load_html": "memory.core.loaders.html",
    "load_markdown": "memory.core.loaders.text",
    "load_pdf": "memory.core.loaders.pdf",
    "load_text": "memory.core.loaders.text",
    "load_tsv": "memory.core.loaders.csv",
}

__all__ = [
    "Chunk",
    "Document",
    "MarkdownChunker",
    "RecursiveChunker",
    "SentenceChunker",
    "TokenChunker",
    "chunk",
    "load",
    "load_csv",
    "load_docx",
    "load_excel",
    "load_html",
    "load_markdown",
    "load_pdf",
    "load_text",
    "load_tsv",
]

__getattr__, __dir__ = door(__name__, HOMES)
