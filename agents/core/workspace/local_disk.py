"""A workspace on disk: one Markdown file for each note, in one folder for each user.

    <root>/<user>/WORKSPACE.md                              what there is
    <root>/<user>/notes/<author>/[<namespace>/]007-oil.md   a note
    <root>/<user>/notes/<author>/.history/007-oil/0001.md   its earlier texts
    <root>/seeds/                                           what the workspace began with

Names of people and namespaces are escaped (`folder_name`), slugs and titles never become paths: a note is found by
looking at what is there. Files are replaced whole, and opened in a way that no link leads out of the root.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from string import ascii_lowercase, digits
from typing import ParamSpec, TypeVar

import anyio.to_thread

from agents.core.tools import builtin
from agents.core.tools.beneath import Beneath, PathEscapeError
from agents.core.tools.tool import Tool
from agents.core.workspace import frontmatter
from agents.core.workspace.notes import Key, Vector, key_of, number_of, slug_for
from agents.core.workspace.shelf import ShelfWorkspace
from agents.core.workspace.values import Note
from loom.errors import ConfigError
from memory.core.protocol import Embedder

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

TEMP_PREFIX = "loom-workspace-"

_PLAIN = frozenset((ascii_lowercase + digits + "-_.@").encode())
_HISTORY = ".history"
_SEEDS = "seeds"


def folder_name(name: str | None) -> str:
    """The folder of a user, author or namespace: no two names share one, on any file system.

    Everything but lower-case letters, digits and `-_.@` is percent-encoded, so that `unquote` gives the name back;
    names that would be too long end in their hash. None is `_anon`, which no name can become, nor can one be `seeds`.
    """
    if name is None:
        return "_anon"
    if name == "":
        return "%"
    if name == _SEEDS:
        return "%73eeds"
    encoded = name.encode("utf-8", "surrogatepass")
    folder = "".join(
        chr(byte) if byte in _PLAIN and (place or chr(byte) not in "-_.") else f"%{byte:02x}"
        for place, byte in enumerate(encoded)
    )
    return folder if len(folder) <= 120 else f"{folder[:80]}~{hashlib.sha256(encoded).hexdigest()[:32]}"


class LocalDiskWorkspace(ShelfWorkspace):
    """Notes in files below `root`. Several processes may share one; each write is whole, the last one wins."""

    def __init__(
        self,
        root: str | Path,
        *,
        seed_paths: Iterable[str | Path] | None = None,
        cleanup_on_close: bool = False,
        embedder: Embedder | None = None,
    ) -> None:
        self._files = Beneath(root)
        self._cleanup_on_close = cleanup_on_close
        self._files.root.mkdir(parents=True, exist_ok=True)
        _copy_seeds(seed_paths or (), self._files.root / _SEEDS)
        super().__init__(_Folders(self._files), embedder=embedder)

    @classmethod
    def temp(
        cls,
        *,
        prefix: str = TEMP_PREFIX,
        seed_paths: Iterable[str | Path] | None = None,
        cleanup: bool = True,
    ) -> LocalDiskWorkspace:
        """A workspace in a new temporary folder, which `aclose` deletes unless `cleanup` is off."""
        return cls(tempfile.mkdtemp(prefix=prefix), seed_paths=seed_paths, cleanup_on_close=cleanup)

    @classmethod
    def open(cls, path: str | Path, *, seed_paths: Iterable[str | Path] | None = None) -> LocalDiskWorkspace:
        return cls(path, seed_paths=seed_paths)

    @property
    def root(self) -> Path:
        return self._files.root

    def filesystem_tools(self, *, include_bash: bool = False, user_id: str | None = None) -> list[Tool]:
        """Tools for the files of one user, rooted at the user's folder, with a copy of the seeds in it.

        Notes are files there too: whoever gets these tools can change any note of that user. A shell is confined by
        nothing but the sandbox it runs in.
        """
        folder = self.root / folder_name(user_id)
        folder.mkdir(exist_ok=True)
        seeds = self.root / _SEEDS
        if seeds.is_dir() and not (folder / _SEEDS).exists():
            shutil.copytree(seeds, folder / _SEEDS)
        tools = builtin.filesystem_tools(folder)
        return [*tools, builtin.bash_tool(folder)] if include_bash else tools

    async def aclose(self) -> None:
        if self._cleanup_on_close:
            await anyio.to_thread.run_sync(partial(shutil.rmtree, self.root, ignore_errors=True))

    async def __aenter__(self) -> LocalDiskWorkspace:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await anyio.to_thread.run_sync(partial(self._alone, partial(work, *args, **kwargs)))

    def _alone(self, work: Callable[[], T]) -> T:
        with self._files.lock:
            return work()


class _Folders:
    """The shelf of files."""

    def __init__(self, files: Beneath) -> None:
        self._files = files

    def add(self, note: Note) -> Note:
        number = max((number_of(path.stem) for path in self._paths(_author(note))), default=0)
        self._files.mkdirs(_folder(note))
        while True:
            number += 1
            note = note.model_copy(update={"slug": slug_for(number, note.title)})
            with suppress(FileExistsError):  # another process was faster
                self._files.claim(_path(note))
                self.put(note)
                return note

    def notes(self, user_id: str | None) -> list[Note]:
        found = (self._note(path, user_id) for path in self._paths(f"{folder_name(user_id)}/notes"))
        return [note for note in found if note is not None]

    def put(self, note: Note) -> None:
        self._files.replace(_path(note), frontmatter.to_text(note).encode("utf-8", "replace"))

    def keep_version(self, note: Note) -> None:
        folder = _history(note)
        self._files.mkdirs(folder)
        number = max(self.versions(note), default=0)
        while True:
            number += 1
            with suppress(FileExistsError):
                self._files.claim(f"{folder}/{number:04d}.md")
                text = frontmatter.to_text(note).encode("utf-8", "replace")
                self._files.replace(f"{folder}/{number:04d}.md", text)
                return

    def versions(self, note: Note) -> dict[int, Note]:
        paths = {number_of(path.stem): path for path in self._paths(_history(note))}
        read = {number: self._read(path, note.user_id, note.author) for number, path in sorted(paths.items())}
        return {number: version for number, version in read.items() if version is not None}

    def drop_versions(self, note: Note, *, keep_last: int) -> int:
        numbers = list(self.versions(note))
        dropped = numbers[: max(len(numbers) - keep_last, 0)]
        for number in dropped:
            self._files.remove(f"{_history(note)}/{number:04d}.md")
        return len(dropped)

    def drop(self, note: Note) -> None:
        self._files.remove(_path(note))
        with suppress(FileNotFoundError):
            self._files.remove(_vector_path(note))
        with suppress(OSError):  # not there, or something else was put into it
            os.rmdir(self._files.root / _history(note))

    def put_vector(self, note: Note, vector: Vector) -> None:
        self._files.replace(_vector_path(note), json.dumps(list(vector)).encode())

    def vectors(self, user_id: str | None) -> Mapping[Key, Vector]:
        vectors: dict[Key, Vector] = {}
        for note in self.notes(user_id):
            with suppress(FileNotFoundError), self._files.open(_vector_path(note)) as file:
                vectors[key_of(note)] = json.load(file)
        return vectors

    def reindex(self, user_id: str | None, render: Callable[[Iterable[Note]], str]) -> None:
        text = render(self.notes(user_id)).encode("utf-8", "replace")
        self._files.replace(f"{folder_name(user_id)}/WORKSPACE.md", text)

    def forget(self, user_id: str | None) -> None:
        with suppress(FileNotFoundError):
            shutil.rmtree(self._files.root / folder_name(user_id))

    def _paths(self, folder: str) -> Iterator[PurePosixPath]:
        """The notes below a folder, without their history."""
        with suppress(FileNotFoundError):
            for path, entry in self._files.walk(folder, skip=_HISTORY.__eq__):
                if entry.kind == "file" and path.suffix == ".md":
                    yield path

    def _note(self, path: PurePosixPath, user_id: str | None) -> Note | None:
        note = self._read(path, user_id)
        # Whoever can write files here can write any author into one: only the note of the folder's author counts.
        if note is not None and PurePosixPath(_path(note)) != path:
            log.warning("a file says it is another note than its path does, and is left out")
            return None
        return note

    def _read(self, path: PurePosixPath, user_id: str | None, author: str | None = None) -> Note | None:
        try:
            with self._files.open(path, follow=False) as file:
                text = file.read().decode("utf-8", "replace")
        except FileNotFoundError:  # deleted since it was listed
            return None
        except PathEscapeError:
            log.warning("a file among the notes leads out of the workspace and is left out")
            return None
        certain = {"user_id": user_id} | ({} if author is None else {"author": author})
        note = frontmatter.from_text(text, **certain)
        if note is None and text:  # an empty one is claimed and about to be written
            log.warning("a file among the notes is no note and is left out")
        return note


def _author(note: Note) -> str:
    return f"{folder_name(note.user_id)}/notes/{folder_name(note.author)}"


def _folder(note: Note) -> str:
    return _author(note) if note.namespace is None else f"{_author(note)}/{folder_name(note.namespace)}"


def _path(note: Note) -> str:
    return f"{_folder(note)}/{note.slug}.md"


def _vector_path(note: Note) -> str:
    return f"{_folder(note)}/{note.slug}.embedding.json"


def _history(note: Note) -> str:
    return f"{_author(note)}/{_HISTORY}/{note.slug}"


def _copy_seeds(paths: Iterable[str | Path], to: Path) -> None:
    for path in map(Path, paths):
        if not path.exists():
            raise ConfigError(f"the workspace cannot begin with {str(path)!r}: there is no such file", path=str(path))
        to.mkdir(exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, to / path.name, dirs_exist_ok=True)
        else:
            shutil.copy2(path, to / path.name)
