"""A net over the arguments of tools: paths stay below the roots.

It looks at what the model asks for, not at what the tool does. It stops mistakes and plain attempts, nested and inside
of shell commands too; against a shell that means it, put the tool into `Bubblewrap` as well.
"""

from __future__ import annotations

import errno
import re
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import unquote

from governance.core.sandbox.base import ToolHost, around, can_undo
from loom.messages import ToolCall, ToolDef, ToolResult

# Names under which a value is a path, whatever it looks like.
_SURELY_PATHS = frozenset(
    {"path", "file", "filename", "filepath", "directory", "dir", "folder"}
    | {"paths", "files", "filenames", "filepaths", "directories", "dirs", "folders"}
)
PATH_ARGS = _SURELY_PATHS | {"src", "source", "dst", "destination", "target"}
# Names under which a value is a command line.
COMMAND_ARGS = frozenset({"cmd", "cmds", "command", "commands", "shell", "sh", "bash", "argv", "args", "exec"})
# Names under which a value is prose: a path that is mentioned in it opens nothing.
PROSE_ARGS = frozenset(
    {"content", "contents", "text", "body", "message", "prompt", "query", "question", "description", "summary"}
    | {"note", "notes", "comment", "title", "subject", "old_string", "new_string"}
)

_SEPARATORS = re.compile(r"[\s\"'`<>|&;()\[\]{},=:]+")
_EXPANSION = re.compile(r"[$`]|\{[^{}]*(?:,|\.\.)[^{}]*\}")
_URL = re.compile(r"(?i)\b(?!file:)[a-z][a-z0-9+.\-]*://[^\s\"'<>|;&()]*")


class FilesystemSandbox:
    """Refuses calls whose arguments name files outside of the roots.

    Looked at are values under the names of `path_args`, command lines, and, with `auto_detect`, every text that holds
    something like a path, in lists and mappings too; of prose (`content`, `message`), only what is nothing but a path.
    Links are followed. A command line with expansions that only a shell can read (`$HOME`, backquotes, braces) is
    refused. A relative path under a name like `path` is made absolute
    below the first root, so that the tool's own working directory does not matter.
    """

    def __init__(
        self,
        inner: ToolHost,
        *,
        roots: Iterable[str | Path],
        path_args: Iterable[str] | None = None,
        auto_detect: bool = True,
    ) -> None:
        if isinstance(roots, str | bytes):  # of its letters, the first one is often the root of everything
            raise ValueError(f"roots is the text {roots!r}; give a list of folders")
        if isinstance(path_args, str):
            raise ValueError(f"path_args is the text {path_args!r}; give a list of names")
        self._inner = inner
        self._roots = tuple(Path(root).expanduser().resolve() for root in roots)
        if not self._roots:
            raise ValueError("FilesystemSandbox needs at least one root")
        self._path_args = PATH_ARGS if path_args is None else frozenset(path_args)
        self._auto_detect = auto_detect

    @property
    def roots(self) -> tuple[Path, ...]:
        return self._roots

    @property
    def inner(self) -> ToolHost:
        return self._inner

    def around(self, host: ToolHost) -> FilesystemSandbox:
        """The same walls around another host."""
        walled = copy(self)
        walled._inner = around(self._inner, host)
        return walled

    async def list_tools(self, *, query: str | None = None) -> list[ToolDef]:
        return await self._inner.list_tools(query=query)

    async def call(self, tool: str, args: Mapping[str, Any], *, call_id: str = "") -> ToolResult:
        if (objection := self._objection(args)) is not None:
            return ToolResult.denied_(call_id, objection)
        return await self._inner.call(tool, self._anchored(args, ""), call_id=call_id)

    @property
    def call_at(self) -> Callable[..., Awaitable[ToolResult | None]] | None:
        """The inner host's way to tools that run within the run that calls them, where it has one."""
        return None if getattr(self._inner, "call_at", None) is None else self._call_at

    async def _call_at(self, call: ToolCall, *run: Any) -> ToolResult | None:
        if (objection := self._objection(call.args)) is not None:
            return ToolResult.denied_(call.id, objection)
        inner: Any = self._inner
        anchored = call.model_copy(update={"args": self._anchored(call.args, "")})
        result: ToolResult | None = await inner.call_at(anchored, *run)
        return result

    def can_undo(self, tool: str) -> bool:
        return can_undo(self._inner, tool)

    async def undo(self, tool: str, args: Mapping[str, Any], output: Any) -> Any:
        inner: Any = self._inner
        return await inner.undo(tool, self._anchored(args, ""), output)

    def _objection(self, args: Mapping[str, Any]) -> str | None:
        for text in _texts(args):
            if not self._allows(text):
                return f"FilesystemSandbox: argument {text.where!r} resolves outside the allowed roots"
        return None

    async def watch(self) -> AsyncIterator[Any]:
        async for event in self._inner.watch():
            yield event

    def _allows(self, text: _Text) -> bool:
        if text.name in COMMAND_ARGS and text.name not in self._path_args:
            return not self._auto_detect or self._allows_command(text.value)
        if text.name in self._path_args:
            return self._contains(text.value)
        if not self._auto_detect:
            return True
        if text.name in PROSE_ARGS:
            return " " in text.value or "\n" in text.value or not _is_pathlike(text.value) or self._holds(text.value)
        return all(self._holds(word) for word in _words(text.value) if _is_pathlike(word))

    def _allows_command(self, command: str) -> bool:
        if _EXPANSION.search(command):
            return False
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, ""
        try:
            words = list(lexer)
        except ValueError:  # quotes that do not close
            return False
        candidates = [*words, *_words(command), *(part for word in words for part in _words(word))]
        return all(self._holds(word) for word in candidates if _is_pathlike(word, in_command=True))

    def _holds(self, word: str) -> bool:
        """Whether a word that looks like a path stays inside, also where it only begins after an option (`-f/etc`)."""
        if "$" in word or "`" in word:  # only a shell knows what that becomes
            return False
        after_option = word[word.index("/") :] if word.startswith("-") and "/" in word else word
        if not self._contains(after_option):
            return False
        path = Path(word)
        if path.is_absolute() or any(self._is_inside(root / word) and _exists(root / word) for root in self._roots):
            return True
        # Not below a root, but there in the working directory, which is not one: the tool would find it there.
        return not _exists(path) or self._is_inside(path)

    def _contains(self, value: str) -> bool:
        """Whether a path resolves inside a root; a relative one, below one of them."""
        forms = {value, value.replace("\\", "/"), value.replace("\\", ""), unquote(value)}
        return all(self._resolves_inside(_without_scheme(form)) for form in forms)

    def _resolves_inside(self, value: str) -> bool:
        try:
            path = Path(value).expanduser()
        except RuntimeError:  # ~ of somebody who does not exist
            return False
        if path.is_absolute():
            return self._is_inside(path)
        return any(self._is_inside(root / path) for root in self._roots)

    def _is_inside(self, path: Path) -> bool:
        try:
            resolved = path.resolve()
        except OSError as error:
            return error.errno == errno.ENAMETOOLONG  # no file has such a name; data in Base64 often does
        except (ValueError, RuntimeError):  # NUL, a loop of links
            return False
        return any(resolved.is_relative_to(root) for root in self._roots)

    def _anchored(self, value: Any, name: str) -> Any:
        """The arguments, relative paths under the names of paths made absolute below the first root that holds them."""
        if isinstance(value, Mapping):
            return {key: self._anchored(item, _name(key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._anchored(item, name) for item in value]
        if name not in _SURELY_PATHS or name not in self._path_args or not isinstance(value, str):
            return value
        if not value or Path(value).is_absolute() or value.startswith(("~", "file:")):
            return value
        return str(next(root for root in self._roots if self._is_inside(root / value)) / value)


@dataclass(frozen=True, slots=True)
class _Text:
    """A text somewhere in the arguments. `name` is the nearest key above it, in lower case."""

    where: str
    name: str
    value: str


def _texts(value: Any, where: str = "", name: str = "") -> Iterator[_Text]:
    if isinstance(value, str | PurePath):
        yield _Text(where, name, str(value))
    elif isinstance(value, bytes):
        yield _Text(where, name, value.decode(errors="replace"))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            place = f"{where}.{key}" if where else str(key)
            yield from _texts(item, place, _name(key))
            if where and isinstance(key, str):
                yield _Text(place, "", key)
    elif isinstance(value, list | tuple | set | frozenset):
        for number, item in enumerate(value):
            yield from _texts(item, f"{where}[{number}]", name)


def _name(key: object) -> str:
    """`file_path` and `outputDir` are paths too: the last word of a name counts."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(key)).lower()
    last = re.split(r"[_\-. ]", words)[-1]
    return last if last in PATH_ARGS or last in COMMAND_ARGS else words


def _words(text: str) -> list[str]:
    return [word for word in _SEPARATORS.split(_URL.sub(" ", text)) if word]


def _is_pathlike(word: str, *, in_command: bool = False) -> bool:
    if _URL.fullmatch(word):
        return False
    if word.startswith("~"):
        return in_command or "/" in word or word == "~"
    return "/" in word or word == ".." or ("\\" in word and ".." in word)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _without_scheme(value: str) -> str:
    return re.sub(r"(?i)^file:(?://[^/]*)?", "", value)
