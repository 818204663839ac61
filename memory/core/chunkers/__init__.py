"""Texts in pieces that an embedder can hold. A way of cutting is a module here and one line in `STRATEGIES`."""

from __future__ import annotations

STRATEGIES = {
    "recursive": "memory.core.chunkers.recursive:RecursiveChunker",
    "markdown": "memory.core.chunkers.markdown:MarkdownChunker",
    "sentence": "memory.core.chunkers.sentence:SentenceChunker",
    "token": "memory.core.chunkers.token:TokenChunker",
}
