"""Cut between sentences."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right

from memory.core.chunkers.spans import check_size, chunks, next_word, spans
from memory.core.loaders.base import Chunk

# A full stop with what closes after it and white space, those of Chinese and Japanese without, or an empty line.
_END = re.compile(r"""[.!?…]["'”’»)\]]*(?=\s)|[。！？]["'”’»」』）]*|\n\s*\n""")  # noqa: RUF001


class SentenceChunker:
    """Whole sentences, as many as `chunk_size` characters hold; the next piece repeats those that fit the overlap.

    A sentence that is longer than a piece is cut between words, or anywhere.
    """

    def __init__(self, chunk_size: int = 800, chunk_overlap: int = 100) -> None:
        check_size(chunk_size, chunk_overlap)
        self.chunk_size, self.chunk_overlap = chunk_size, chunk_overlap

    def split(self, text: str, *, source: str = "") -> list[Chunk]:
        ends = [found.end() for found in _END.finditer(text)]
        starts = [next_word(text, place) for place in ends]

        def end(lowest: int, highest: int) -> int:
            last = bisect_right(ends, highest) - 1
            if last >= 0 and ends[last] > lowest:
                return ends[last]
            space = text.rfind(" ", lowest, highest + 1)
            return space if space > lowest else highest

        def start(lowest: int, highest: int) -> int:
            following = bisect_right(ends, next_word(text, highest))
            stop = ends[following] if following < len(ends) else len(text)
            if stop - highest < self.chunk_size:  # the next sentence fits if not too much is before it
                lowest = max(lowest, stop - self.chunk_size)
            first = bisect_left(starts, lowest)
            return starts[first] if first < len(starts) and starts[first] < highest else highest

        pieces = spans(text, self.chunk_size, self.chunk_overlap, end=end, start=start)
        return chunks(text, pieces, source=source, strategy="sentence")
