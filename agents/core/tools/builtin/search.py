"""Tools that search a work directory.

A glob only chooses among what is inside: it is never handed to the file system.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from time import monotonic
from typing import Any

from agents.core.tools.beneath import Beneath, PathEscapeError
from agents.core.tools.builtin.workdir import NOISE, folder, shown, told
from agents.core.tools.tool import Tool, tool

MATCHING_SECONDS = 5.0  # what all matching of one call may take
FILE_BYTES = 20_000_000  # larger files are data, not text that somebody greps
LINE_CHARS = 500


def grep_tool(workdir: Path | str | Beneath | None = None, *, name: str = "grep", max_results: int = 200) -> Tool:
    """A tool that finds lines by a regular expression. A pattern that runs away is stopped after five seconds."""
    return replace(_Search(folder(workdir), max_results).grep, name=name)


def find_tool(workdir: Path | str | Beneath | None = None, *, name: str = "find", max_results: int = 300) -> Tool:
    """A tool that finds files by their names."""
    return replace(_Search(folder(workdir), max_results).find, name=name)


@dataclass(frozen=True)
class _Search:
    beneath: Beneath
    max_results: int

    @tool(effect="read", timeout=60)
    @told
    def grep(self, pattern: str, path: str = ".", glob: str = "*", ignore_case: bool = False) -> str:
        """Find lines that match a regular expression. Answers `file:line: text`.

        Args:
            pattern: The regular expression.
            path: A directory or a file, relative to the work directory.
            glob: Which files to look into, like `*.py` or `src/**/*.ts`.
            ignore_case: Whether `a` also finds `A`.
        """
        import regex  # slow to import; unlike `re` it can stop a pattern that runs away, and lets other threads run

        try:
            wanted = regex.compile(pattern, regex.IGNORECASE if ignore_case else 0)
        except regex.error as exc:
            return f"ERROR: {pattern!r} is no regular expression: {exc}"
        try:
            return self._capped(_hits(self.beneath, wanted, self._files(path, glob)))
        except TimeoutError:
            return f"ERROR: {pattern!r} takes too long to match; use a simpler pattern or fewer files"

    @tool(effect="read", timeout=60)
    @told
    def find(self, glob: str, path: str = ".") -> str:
        """Find files by name.

        Args:
            glob: A pattern like `*.py`, which finds at any depth, or `src/**/*.ts`, seen from `path`.
            path: The directory to search, relative to the work directory.
        """
        return self._capped(shown(found) for found in self._files(path, glob, links=True))

    def _files(self, path: str, glob: str, *, links: bool = False) -> Iterator[PurePosixPath]:
        wanted, start = _matcher(glob), self.beneath.relative(path)
        if not self.beneath.is_dir(start):
            with self.beneath.open(start):  # says what is wrong with it
                yield start
            return
        for found, entry in self.beneath.walk(start, skip=NOISE.__contains__):
            if (entry.kind == "file" or (links and entry.kind == "link")) and wanted(found.relative_to(start)):
                yield found

    def _capped(self, lines: Iterator[str]) -> str:
        found: list[str] = []
        for line in lines:
            if len(found) == self.max_results:
                found.append(f"... (more than {self.max_results} results; narrow the search)")
                break
            found.append(line)
        return "\n".join(found) or "(no matches)"


def _hits(beneath: Beneath, wanted: Any, files: Iterator[PurePosixPath]) -> Iterator[str]:
    left = MATCHING_SECONDS
    for path in files:
        for number, line in enumerate(_text(beneath, path).splitlines(), start=1):
            start = monotonic()
            hit = wanted.search(line, timeout=left, concurrent=True)
            left -= monotonic() - start
            if left <= 0:
                raise TimeoutError
            if hit:
                yield f"{shown(path)}:{number}: {line[:LINE_CHARS]}".replace("\0", "\ufffd")


def _text(beneath: Beneath, path: PurePosixPath) -> str:
    """What is in a file; nothing when it is binary, too large, or cannot be read: a search passes over those."""
    try:
        with beneath.open(path) as file:
            data = file.read(FILE_BYTES + 1)
    except (OSError, PathEscapeError):
        return ""
    return "" if len(data) > FILE_BYTES or b"\0" in data[:8192] else data.decode("utf-8", "replace")


def _matcher(glob: str) -> Callable[[PurePosixPath], bool]:
    """Whether a path fits. A glob without a slash is about the name alone; `**` stands for any number of folders."""
    wanted = PurePosixPath(glob).parts
    if glob.startswith("/") or ".." in wanted:
        raise PathEscapeError(f"the glob {glob!r} leads out of the work directory; use one below `path`", glob=glob)
    if "/" not in glob:
        return lambda path: fnmatchcase(path.name, glob)
    return lambda path: _fits(path.parts, wanted)


def _fits(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    """Walk all ways through the glob at once: one after the other would take for ever on `**/a/**/a/**`."""
    places = _reached({0}, wanted)
    for part in parts:
        stay = {at for at in places if at < len(wanted) and wanted[at] == "**"}
        step = {at + 1 for at in places - stay if at < len(wanted) and fnmatchcase(part, wanted[at])}
        places = _reached(stay | step, wanted)
    return len(wanted) in places


def _reached(places: set[int], wanted: Sequence[str]) -> set[int]:
    reached = set(places)
    for at, part in enumerate(wanted):
        if at in reached and part == "**":
            reached.add(at + 1)
    return reached
