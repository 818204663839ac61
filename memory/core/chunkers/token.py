"""Cut by tokens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from loom.errors import Unavailable
from memory.core.chunkers.spans import check_size, chunk_of
from memory.core.loaders.base import Chunk

if TYPE_CHECKING:
    from tiktoken import Encoding

_CACHE = "TIKTOKEN_CACHE_DIR"
_TURN = Lock()


class TokenChunker:
    """Pieces of at most `chunk_size` tokens; each but the first begins with the last `chunk_overlap` of those before.

    `encoding` is one of tiktoken's. The table of `cl100k_base` is at hand, others tiktoken fetches once from the
    network. White space is kept, for it is in the tokens. A character of more tokens than `chunk_size` is not cut.
    """

    def __init__(self, chunk_size: int = 512, chunk_overlap: int = 64, encoding: str = "cl100k_base") -> None:
        check_size(chunk_size, chunk_overlap)
        self.chunk_size, self.chunk_overlap, self.encoding = chunk_size, chunk_overlap, encoding

    def split(self, text: str, *, source: str = "") -> list[Chunk]:
        """Raises Unavailable when the table of the encoding is neither at hand nor can be fetched."""
        if not text.strip():
            return []
        encoding = _encoding(self.encoding)
        pieces = ((piece, len(encoding.encode_ordinary(piece))) for piece in self._pieces(_read(text, encoding)))
        kept = [(piece, count) for piece, count in pieces if piece.strip()]
        return [
            chunk_of(piece, source, index, "token", token_count=count, encoding=self.encoding)
            for index, (piece, count) in enumerate(kept)
        ]

    def _pieces(self, tokens: _Tokens) -> Iterator[str]:
        begin = 0
        while True:
            end = tokens.end_of(begin, self.chunk_size)
            yield tokens.text(begin, end)
            if end == tokens.count:
                return
            begin = tokens.whole_from(max(end - self.chunk_overlap, begin + 1))


@dataclass(frozen=True, slots=True)
class _Tokens:
    """A text in tokens. `places[n]` is where token n begins in it, None where that is within a character."""

    whole: str
    places: list[int | None]
    encoding: Encoding

    @property
    def count(self) -> int:
        return len(self.places) - 1

    def text(self, begin: int, end: int) -> str:
        return self.whole[self.places[begin] : self.places[end]]

    def whole_from(self, number: int) -> int:
        """This token, or the next that does not begin within a character."""
        while self.places[number] is None:
            number += 1
        return number

    def end_of(self, begin: int, size: int) -> int:
        """After the last of as many whole characters as `size` tokens hold, but one at least."""
        end = min(begin + size, self.count)
        while end > begin and not self._fits(begin, end, size):
            end -= 1
        return end if end > begin else self.whole_from(begin + 1)

    def _fits(self, begin: int, end: int, size: int) -> bool:
        # A text that was cut out can be other tokens, and more, than it was within the whole.
        return self.places[end] is not None and len(self.encoding.encode_ordinary(self.text(begin, end))) <= size


def _read(text: str, encoding: Encoding) -> _Tokens:
    parts = encoding.decode_tokens_bytes(encoding.encode_ordinary(text))
    places: list[int | None] = []
    length = 0
    for part in parts:
        places.append(None if _is_within(part[0]) else length)
        length += sum(not _is_within(byte) for byte in part)
    return _Tokens(b"".join(parts).decode(), [*places, length], encoding)


def _is_within(byte: int) -> bool:
    """Whether a byte of UTF-8 is not the first of its character."""
    return 0x80 <= byte < 0xC0


@cache
def _encoding(name: str) -> Encoding:
    import tiktoken  # reads a table of a megabyte

    if name not in tiktoken.list_encoding_names():
        raise ValueError(f"no encoding {name!r}; one of {', '.join(sorted(tiktoken.list_encoding_names()))}")
    try:
        with _table_at_hand(name):
            return tiktoken.get_encoding(name)
    except OSError as error:  # also what requests raises
        raise Unavailable(
            f"the table of the encoding {name!r} could not be fetched ({error}); "
            f"use cl100k_base, or put the table into a folder that {_CACHE} names",
            encoding=name,
        ) from error


@contextmanager
def _table_at_hand(name: str) -> Iterator[None]:
    """Show tiktoken the table that LiteLLM brings; there is no other way to say where it lies."""
    litellm = find_spec("litellm")
    if name != "cl100k_base" or _CACHE in os.environ or not litellm or not litellm.origin:
        yield
        return
    with _TURN:
        os.environ[_CACHE] = str(Path(litellm.origin).parent / "litellm_core_utils" / "tokenizers")
        try:
            yield
        finally:
            del os.environ[_CACHE]
