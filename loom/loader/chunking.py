"""Texts in pieces."""

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

HOMES = {
    "Chunk": "memory.core.loaders.base",
    "MarkdownChunker": "memory.core.chunkers.markdown",
    "RecursiveChunker": "memory.core.chunkers.recursive",
    "SentenceChunker": "memory.core.chunkers.sentence",
    "TokenChunker": "memory.core.chunkers.token",
    "chunk": "memory.core.chunkers.chunk",
}

__all__ = [
    "Chunk",
    "MarkdownChunker",
    "RecursiveChunker",
    "SentenceChunker",
    "TokenChunker",
    "chunk",
]

__getattr__, __dir__ = door(__name__, HOMES)
