"""A directory that nothing opened through it can leave, however names and links change meanwhile."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

from loom.errors import Denied

Kind = Literal["dir", "file", "link", "other"]

_OPENAT2 = 437  # the same number on every architecture that Python's Linux wheels are built for
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Not blocking: opening a pipe that somebody put there would wait for its writer for ever.
_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


class PathEscapeError(Denied, ValueError):
    """The path leads out of the directory."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a directory; `size` in bytes."""

    name: str
    kind: Kind
    size: int


class Beneath:
    """Files and folders under one root, by paths that come from a model.

    Every path is resolved by the kernel, which refuses to leave the root: no check that a swapped link could outrun
    (`openat2` with `RESOLVE_BENEATH`; where it is missing, component by component without following any link). A
    path may be absolute when it begins with the root. Raises PathEscapeError for a way out, and the usual OSErrors.
    All methods block.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(os.path.abspath(root)).resolve()
        self._given = Path(os.path.abspath(root))
        self.lock = threading.RLock()  # held over a read and the write that depends on it

    def relative(self, path: str | os.PathLike[str]) -> PurePosixPath:
        """The path as it is seen from the root, without `.` and `..`."""
        text = os.fspath(path)
        if "\0" in text or not _encodable(text):
            raise PathEscapeError(f"{text!r} is no path: a file name cannot have such characters", path=text)
        pure = PurePosixPath(text)
        for root in (self.root, self._given):
            if pure.is_absolute() and pure.is_relative_to(root):
                pure = pure.relative_to(root)
        plain = PurePosixPath(os.path.normpath(pure))
        if plain.is_absolute() or plain.parts[:1] == ("..",):
            raise PathEscapeError(f"{text!r} is outside of the work directory; use a path inside it", path=text)
        return plain

    def open(self, path: str | os.PathLike[str], *, follow: bool = True) -> BinaryIO:
        """Open a regular file to read its bytes.

        A file with several names (hard links) is refused: one of them may lie outside.
        """
        fd = self._open(self.relative(path), _FILE, follow=follow)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise IsADirectoryError(errno.EISDIR, "not a regular file", os.fspath(path))
            if found.st_nlink > 1:
                raise PathEscapeError(f"{os.fspath(path)!r} has other names (hard links), maybe outside of here")
            return os.fdopen(fd, "rb")
        except BaseException:
            os.close(fd)
            raise

    def listdir(self, path: str | os.PathLike[str] = ".", *, follow: bool = True) -> list[Entry]:
        """What is in a directory, by name. Links are named, not followed."""
        fd = self._open(self.relative(path), _DIRECTORY, follow=follow)
        try:
            with os.scandir(fd) as entries:
                return sorted((_entry(e) for e in entries), key=lambda e: e.name)
        finally:
            os.close(fd)

    def walk(
        self, path: str | os.PathLike[str] = ".", *, skip: Callable[[str], bool] = lambda name: False
    ) -> Iterator[tuple[PurePosixPath, Entry]]:
        """Every file and link below a directory, with its path seen from the root; no link is followed.

        Directories whose name `skip` answers to, and those that vanish meanwhile, are left out.
        """
        todo = [self.relative(path)]
        first = True
        while todo:
            place = todo.pop()
            try:
                entries = self.listdir(place, follow=first)
            except (OSError, PathEscapeError):
                if first:
                    raise
                continue
            first = False
            yield from ((place / e.name, e) for e in entries if e.kind != "dir")
            todo.extend(place / e.name for e in reversed(entries) if e.kind == "dir" and not skip(e.name))

    def is_dir(self, path: str | os.PathLike[str]) -> bool:
        try:
            os.close(self._open(self.relative(path), _DIRECTORY))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def mkdirs(self, path: str | os.PathLike[str]) -> None:
        """Make a directory and those above it."""
        self.root.mkdir(parents=True, exist_ok=True)
        place = PurePosixPath(".")
        for name in self.relative(path).parts:
            with self._directory(place) as parent, suppress(FileExistsError):
                os.mkdir(name, dir_fd=parent)
            place /= name
        with self._directory(place):  # the last name may have been a file all along
            pass

    def replace(self, path: str | os.PathLike[str], data: bytes) -> None:
        """Write a whole file: others see the old bytes or the new ones, never a part.

        An existing file keeps its mode. A link is replaced by the file, not followed. The directory must exist.
        """
        plain = self.relative(path)
        if not plain.name:
            raise IsADirectoryError(errno.EISDIR, "is a directory", os.fspath(path))
        temporary = f".loom-{secrets.token_hex(8)}.tmp"
        with self._directory(plain.parent) as parent:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(temporary, flags, 0o666, dir_fd=parent)
            try:
                with os.fdopen(fd, "wb") as file:
                    _keep_mode(plain.name, parent, file.fileno())
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, plain.name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=parent)
                raise

    def claim(self, path: str | os.PathLike[str]) -> None:
        """Make an empty file. Of several that claim a name at once one gets it, the others get FileExistsError."""
        plain = self.relative(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._directory(plain.parent) as parent:
            os.close(os.open(plain.name, flags, 0o666, dir_fd=parent))

    def remove(self, path: str | os.PathLike[str]) -> None:
        """Delete a file or a link, not what the link points to."""
        plain = self.relative(path)
        with self._directory(plain.parent) as parent:
            os.unlink(plain.name, dir_fd=parent)

    @contextmanager
    def _directory(self, path: PurePosixPath) -> Iterator[int]:
        fd = self._open(path, _DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)

    def _open(self, path: PurePosixPath, flags: int, *, follow: bool = True) -> int:
        root = os.open(self.root, _DIRECTORY)
        try:
            return (_open_beneath if _has_openat2() else _open_stepwise)(root, path, flags, follow=follow)
        except OSError as exc:
            if exc.errno in (errno.EXDEV, errno.ELOOP):
                raise PathEscapeError(f"{str(path)!r} leads out of the work directory", path=str(path)) from None
            raise OSError(exc.errno, os.strerror(exc.errno or 0), str(path)) from None
        finally:
            os.close(root)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def _open_beneath(root: int, path: PurePosixPath, flags: int, *, follow: bool = True) -> int:
    how = _OpenHow(flags, 0, _BENEATH | _NO_MAGICLINKS | (0 if follow else _NO_SYMLINKS))
    name = os.fsencode(path)
    for _ in range(128):
        fd: int = _libc().syscall(_OPENAT2, root, name, ctypes.byref(how), ctypes.sizeof(how))
        if fd >= 0:
            return fd
        # EAGAIN: something was renamed while the kernel walked, so it could not be sure. Asking again is its advice.
        if (code := ctypes.get_errno()) not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(code, os.strerror(code), str(path))


def _open_stepwise(root: int, path: PurePosixPath, flags: int, *, follow: bool = True) -> int:
    """The way without `openat2`: no link is followed at all, so none can lead out. `follow` changes nothing."""
    here = os.dup(root)
    try:
        for name in path.parts[:-1]:
            below = _step(here, name, _DIRECTORY)
            os.close(here)
            here = below
        return _step(here, path.name or ".", flags)
    finally:
        os.close(here)


def _step(directory: int, name: str, flags: int) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=directory)
    except NotADirectoryError:  # what O_DIRECTORY says about a link, too
        if stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name) from None
        raise


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@cache
def _has_openat2() -> bool:
    """Whether the kernel has the call (Linux 5.6) and nothing around us (seccomp) forbids it."""
    if not sys.platform.startswith("linux"):
        return False
    here = os.open("/", _DIRECTORY)
    try:
        os.close(_open_beneath(here, PurePosixPath("."), _DIRECTORY))
    except OSError:
        return False
    finally:
        os.close(here)
    return True


def _encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _entry(entry: os.DirEntry[str]) -> Entry:
    if entry.is_symlink():
        return Entry(entry.name, "link", 0)
    if entry.is_dir(follow_symlinks=False):
        return Entry(entry.name, "dir", 0)
    try:
        size = entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:  # gone since it was listed
        return Entry(entry.name, "other", 0)
    return Entry(entry.name, "file" if entry.is_file(follow_symlinks=False) else "other", size)


def _keep_mode(name: str, parent: int, fd: int) -> None:
    with suppress(FileNotFoundError):
        old = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISREG(old.st_mode):
            os.fchmod(fd, stat.S_IMODE(old.st_mode))
