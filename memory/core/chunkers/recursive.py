"""Cut between paragraphs, else lines, else sentences, else words, else anywhere."""

from __future__ import annotations

from collections.abc import Sequence

from memory.core.chunkers.spans import check_size, chunks, spans, word_start
from memory.core.loaders.base import Chunk

SEPARATORS = ("\n\n", "\n", ". ", "! ", "? ", "; ", ", ", " ", "")


class RecursiveChunker:
    """Pieces of at most `chunk_size` characters, as long as they can be without cutting through what belongs together.

    A piece ends after the last of the first separator that it contains, and the next repeats up to `chunk_overlap`
    characters of it, from the beginning of a word. Where there is no separator it is cut anywhere.
    """

    def __init__(self, chunk_size: int = 800, chunk_overlap: int = 100, separators: Sequence[str] = SEPARATORS) -> None:
        check_size(chunk_size, chunk_overlap)
        self.chunk_size, self.chunk_overlap = chunk_size, chunk_overlap
        self.separators = tuple(separator for separator in separators if separator)

    def split(self, text: str, *, source: str = "") -> list[Chunk]:
        def end(lowest: int, highest: int) -> int:
            for separator in self.separators:
                white = len(separator) - len(separator.rstrip())  # is not in the piece, so it need not fit
                place = text.rfind(separator, lowest, highest + white)
                if place >= 0 and place + len(separator) > lowest:
                    return place + len(separator)
            return highest

        pieces = spans(
            text,
            self.chunk_size,
            self.chunk_overlap,
            end=end,
            start=lambda lowest, highest: word_start(text, lowest, highest),
        )
        return chunks(text, pieces, source=source, strategy="recursive")
