"""Reads HTML in one pass, for its text and its links.

Not `html.parser`: on the Pythons we support a page of 50 kB that is made for it keeps that one busy for a minute.
Nothing here looks at a character more than a few times.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

_UNSEEN = {
    name: re.compile(f"</{name}[^>]*+>?", re.IGNORECASE) for name in ("script", "style", "noscript", "template", "svg")
}
_BLOCKS = frozenset(
    {"p", "div", "br", "li", "ul", "ol", "tr", "table", "section", "article", "header", "footer", "nav", "main"}
    | {"h1", "h2", "h3", "h4", "h5", "h6", "pre", "blockquote", "hr", "dt", "dd", "form", "title"}
)
_OPENED = re.compile("<(?=[a-zA-Z/!?])")  # any other `<` is text
_NAME = re.compile(r"/?[a-zA-Z][\w:-]*")
_ATTRIBUTE = re.compile(r"""(?<![\w-])([\w-]++)\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'>]++))""")
_HUGE_NUMBER = re.compile(r"&#\d{8,}+;?|&#[xX][0-9a-fA-F]{7,}+;?")


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag: `name` in lower case, with a slash before it at the end of an element."""

    name: str
    inner: str

    def attributes(self) -> dict[str, str]:
        return {
            found[1].lower(): unescaped(found[2] or found[3] or found[4] or "")
            for found in _ATTRIBUTE.finditer(self.inner)
        }


def pieces(page: str) -> Iterator[Tag | str]:
    """The tags of a page and the text between them. What is inside of scripts and styles is left out."""
    at = 0
    while opened := _OPENED.search(page, at):
        start = opened.start()
        if start > at:
            yield unescaped(page[at:start])
        if page.startswith("<!--", start):
            end = page.find("-->", start)
            at = end + 3 if end >= 0 else len(page)
            continue
        end = page.find(">", start)
        if end < 0:
            return
        at = end + 1
        if found := _NAME.match(page, start + 1, end):
            name = found[0].lower()
            if name in _UNSEEN:
                closed = _UNSEEN[name].search(page, at)
                at = closed.end() if closed else len(page)
            else:
                yield Tag(name, page[found.end() : end])
    yield unescaped(page[at:])


def readable(page: str) -> str:
    """The text of a page, a line for each block, without empty lines."""
    parts = (
        re.sub(r"\s+", " ", piece) if isinstance(piece, str) else "\n" * (piece.name.lstrip("/") in _BLOCKS)
        for piece in pieces(page)
    )
    lines = (" ".join(line.split()) for line in "".join(parts).split("\n"))
    return "\n".join(line for line in lines if line)


def unescaped(text: str) -> str:
    # Numbers without end are an attack: turning one into an integer fails, or takes its time.
    return html.unescape(_HUGE_NUMBER.sub("\ufffd", text)) if "&" in text else text
