"""Where to cut: places in a text, so that nothing of it is lost or invented."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from memory.core.loaders.base import Chunk

Span = tuple[int, int]
End = Callable[[int, int], int]
Start = Callable[[int, int], int]


def check_size(size: int, overlap: int) -> None:
    if size < 1:
        raise ValueError(f"chunk_size must be 1 or more, not {size}")
    if overlap < 0:
        raise ValueError(f"chunk_overlap must be 0 or more, not {overlap}")
    if overlap >= size:
        raise ValueError(f"chunk_overlap must be less than chunk_size ({size}), not {overlap}")


def spans(text: str, size: int, overlap: int, *, end: End, start: Start) -> Iterator[Span]:
    """Pieces of at most `size` characters that begin and end with something to read.

    All of the text but white space is in one of them, and every piece has something that those before have not.
    `end(lowest, highest)` chooses where a piece ends: after `lowest`, and not after `highest` but for white space.
    `start(lowest, highest)` chooses where the next one begins: the text from there to `highest` is in both.
    """
    begin = new = next_word(text, 0)
    while new < len(text):
        highest = min(begin + size, len(text))
        cut = highest if highest == len(text) else end(new, highest)
        stop = begin + len(text[begin:cut].rstrip())
        yield begin, stop
        new = next_word(text, stop)
        begin = next_word(text, start(max(stop - overlap, begin + 1), stop)) if overlap else new
        if new >= begin + size:  # so much white space that the piece would end within it
            begin = new


def chunks(text: str, pieces: Iterator[Span], *, source: str, strategy: str) -> list[Chunk]:
    return [chunk_of(text[begin:end], source, index, strategy) for index, (begin, end) in enumerate(pieces)]


def chunk_of(content: str, source: str, index: int, strategy: str, **more: object) -> Chunk:
    metadata = {"source": source, "index": index, "chunk_size": len(content), "strategy": strategy, **more}
    return Chunk(content, metadata)


def word_start(text: str, lowest: int, highest: int) -> int:
    """The first beginning of a word in a stretch; where there is none, its beginning."""
    if lowest == 0 or text[lowest - 1].isspace():
        return lowest
    place = next((place for place in range(lowest, highest) if text[place].isspace()), highest)
    place = next_word(text, place)
    return place if place < highest else lowest


def next_word(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place
