"""Tools that read and change files of a work directory, which they cannot leave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, TextIO

from pydantic import Field

from agents.core.tools.beneath import Beneath
from agents.core.tools.builtin.workdir import folder, shown, told
from agents.core.tools.tool import Tool, tool

LINE_CHARS = 2_000  # a line beyond this is cut: minified code and data would fill the conversation
READ_CHARS = 200_000

Count = Annotated[int, Field(ge=0)]


def read_tool(workdir: Path | str | Beneath | None = None, *, name: str = "read", line_limit: int = 2000) -> Tool:
    """A tool that reads a text file, at most `line_limit` lines at once."""
    return replace(_Files(folder(workdir), line_limit=line_limit).read, name=name)


def write_tool(
    workdir: Path | str | Beneath | None = None, *, name: str = "write", create_parents: bool = True
) -> Tool:
    """A tool that writes a whole file, which is never seen half written."""
    return replace(_Files(folder(workdir), create_parents=create_parents).write, name=name)


def edit_tool(workdir: Path | str | Beneath | None = None, *, name: str = "edit") -> Tool:
    """A tool that replaces a piece of a file. Edits of one work directory take turns, so none is lost."""
    return replace(_Files(folder(workdir)).edit, name=name)


def ls_tool(workdir: Path | str | Beneath | None = None, *, name: str = "ls") -> Tool:
    """A tool that lists a directory."""
    return replace(_Files(folder(workdir)).ls, name=name)


@dataclass(frozen=True)
class _Files:
    beneath: Beneath
    line_limit: int = 2000
    create_parents: bool = True

    @tool(effect="read", timeout=60)
    @told
    def read(self, path: str, offset: Count = 0, limit: Count | None = None) -> str:
        """Read a text file. Lines are numbered.

        Args:
            path: The file, relative to the work directory.
            offset: How many lines to skip.
            limit: How many lines to read at most.
        """
        most = self.line_limit if limit is None else min(limit, self.line_limit)
        with self.beneath.open(path) as file, TextIOWrapper(file, encoding="utf-8", errors="replace") as text:
            return _page(_lines(text), offset, most) or f"ERROR: {path!r} has fewer than {offset + 1} lines"

    # The same content again changes nothing, so a write that a crash cut off may simply be made again.
    @tool(destructive=True, effect="idempotent", timeout=60)
    @told
    def write(self, path: str, content: str) -> str:
        """Write a file, replacing what it held.

        Args:
            path: The file, relative to the work directory.
            content: The whole new content.
        """
        data = content.encode("utf-8", "replace")
        with self.beneath.lock:
            if self.create_parents:
                self.beneath.mkdirs(self.beneath.relative(path).parent)
            self.beneath.replace(path, data)
        return f"wrote {len(data)} bytes to {shown(self.beneath.relative(path))}"

    @tool(destructive=True, timeout=60)
    @told
    def edit(self, path: str, old_string: str, new_string: str, replace_all: bool = False) -> str:
        """Replace a piece of text in a file. It must be there exactly once, unless all are replaced.

        Args:
            path: The file, relative to the work directory.
            old_string: The text to replace, exactly as it is in the file, without the line numbers.
            new_string: The text to put there.
            replace_all: Replace every occurrence.
        """
        with self.beneath.lock:
            with self.beneath.open(path) as file:
                data = file.read()
            try:
                text = data.decode()
            except UnicodeDecodeError:
                return f"ERROR: {path!r} is not UTF-8 text"
            old, new = _with_its_line_ends(text, old_string, new_string)
            count = text.count(old) if old else 0
            if problem := _unfit(path, old, new, count, replace_all):
                return f"ERROR: {problem}"
            self.beneath.replace(path, text.replace(old, new).encode())
        return f"replaced {count} occurrence{'s' if count > 1 else ''} in {shown(self.beneath.relative(path))}"

    @tool(effect="read", timeout=60)
    @told
    def ls(self, path: str = ".") -> str:
        """List a directory: folders first, files with their size in bytes.

        Args:
            path: The directory, relative to the work directory.
        """
        entries = self.beneath.listdir(path)
        folders = [f"{shown(e.name)}/" for e in entries if e.kind == "dir"]
        links = [f"{shown(e.name)} (link)" for e in entries if e.kind == "link"]
        files = [f"{shown(e.name)} ({e.size}B)" for e in entries if e.kind in ("file", "other")]
        return "\n".join(folders + files + links) or "(empty directory)"


def _lines(text: TextIO) -> Iterator[str]:
    """The lines without their ends, the long ones cut; never more than one piece of a line in memory."""
    while line := text.readline(LINE_CHARS):
        more = 0
        while not line.endswith("\n") and (rest := text.readline(LINE_CHARS)):
            more += len(rest.rstrip("\n"))
            if rest.endswith("\n"):
                break
        # PostgreSQL stores no NUL, so none may get into a result.
        yield line.rstrip("\n").replace("\0", "\ufffd") + (f"… ({more} more characters)" if more else "")


def _page(lines: Iterator[str], offset: int, most: int) -> str:
    shown_lines: list[str] = []
    room, end = READ_CHARS, 0
    for end, line in enumerate(lines, start=1):
        if end <= offset or len(shown_lines) >= most or room <= 0:
            continue
        shown_lines.append(f"{end:6d}\t{line}")
        room -= len(line)
    if not end:
        return "(empty file)"
    if offset >= end:
        return ""
    stop = offset + len(shown_lines)
    if left := end - stop:
        shown_lines.append(f"... ({left} more line(s); call read() again with offset={stop})")
    return "\n".join(shown_lines)


def _with_its_line_ends(text: str, old: str, new: str) -> tuple[str, str]:
    """A model sees `\\n` where a file has `\\r\\n`: what it quotes is looked for as the file has it."""
    if old in text or "\r\n" not in text:
        return old, new
    return tuple(part.replace("\r\n", "\n").replace("\n", "\r\n") for part in (old, new))  # type: ignore[return-value]


def _unfit(path: str, old: str, new: str, count: int, replace_all: bool) -> str | None:
    if not old:
        return "old_string is empty; use write() for a new file"
    if old == new:
        return "old_string and new_string are the same"
    if not count:
        return f"old_string is not in {path!r}; read() the file and quote it exactly"
    if count > 1 and not replace_all:
        return f"old_string is {count} times in {path!r}; quote more around it, or set replace_all"
    return None
