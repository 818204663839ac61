"""Cut at the headings of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from memory.core.chunkers.recursive import RecursiveChunker
from memory.core.chunkers.spans import chunk_of
from memory.core.loaders.base import Chunk

_HEADING = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_ARROW = " > "


@dataclass(frozen=True, slots=True)
class _Section:
    """The lines from one heading to the next; `level` is the heading's, 0 where there is none."""

    headers: str
    level: int
    lines: list[str]
    has_text: bool


class MarkdownChunker:
    """One piece for each section with its heading; its metadata names the headings above, as `Guide > Setup > Linux`.

    A section that is longer than `chunk_size` is cut like other text, with overlaps. A heading with nothing below it
    joins the section that follows if that is a part of it. Headings are lines that begin with `#`.
    """

    def __init__(self, chunk_size: int = 800, chunk_overlap: int = 100) -> None:
        self._within = RecursiveChunker(chunk_size, chunk_overlap)
        self.chunk_size, self.chunk_overlap = chunk_size, chunk_overlap

    def split(self, text: str, *, source: str = "") -> list[Chunk]:
        chunks: list[Chunk] = []
        for section in _joined(_sections(text)):
            content = "\n".join(section.lines).strip()
            if not content:
                continue
            is_whole = len(content) <= self.chunk_size
            parts = [content] if is_whole else [piece.content for piece in self._within.split(content)]
            strategy = "markdown" if is_whole else "markdown+recursive"
            chunks += [
                chunk_of(part, source, index, strategy, headers=section.headers)
                for index, part in enumerate(parts, start=len(chunks))
            ]
        return chunks


def _sections(text: str) -> Iterator[_Section]:
    path: list[tuple[int, str]] = []
    lines: list[str] = []
    fence = ""
    for line in text.split("\n"):
        heading = None if fence else _HEADING.match(line.rstrip("\r"))
        fence = _fence_after(line, fence)
        if heading:
            yield _section(path, lines)
            level = len(heading[1])
            path = [*(above for above in path if above[0] < level), (level, _title(line[heading.end() :]))]
            lines = []
        lines.append(line)
    yield _section(path, lines)


def _section(path: list[tuple[int, str]], lines: list[str]) -> _Section:
    headers = _ARROW.join(title for _, title in path if title)
    body = lines[1:] if path else lines
    return _Section(headers, path[-1][0] if path else 0, lines, any(line.strip() for line in body))


def _title(text: str) -> str:
    """What a heading says, without the signs that may close it."""
    title = text.strip()
    opened = title.rstrip("#")
    return opened.strip() if not opened or opened[-1].isspace() else title


def _fence_after(line: str, fence: str) -> str:
    """The fence of the code block in which the next line is; empty outside of all."""
    found = _FENCE.fullmatch(line.rstrip("\r"))
    if not found:
        return fence
    if not fence:
        return found[1] if found[1][0] == "~" or "`" not in found[2] else ""
    closes = found[1][0] == fence[0] and len(found[1]) >= len(fence) and not found[2].strip()
    return "" if closes else fence


def _joined(sections: Iterator[_Section]) -> Iterator[_Section]:
    """The sections, those that are only a heading together with what follows below them."""
    waiting: _Section | None = None
    for section in sections:
        if waiting and waiting.level >= section.level:
            yield waiting
            waiting = None
        whole = replace(section, lines=waiting.lines + section.lines) if waiting else section
        waiting = whole if section.level and not section.has_text else None
        if not waiting:
            yield whole
    if waiting:
        yield waiting
