from __future__ import annotations

import ctypes
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents.core.tools import beneath
from agents.core.tools.beneath import Beneath, PathEscapeError

SECRET = b"TOP-SECRET-123"
TRIES = 12_000  # by each of the two ways to open, so at least 20,000 in all


@pytest.fixture(params=["openat2", "stepwise"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "openat2" and not beneath._has_openat2():
        pytest.skip("this kernel has no openat2")
    monkeypatch.setattr(beneath, "_has_openat2", lambda: request.param == "openat2")
    return str(request.param)


@pytest.fixture
def root(way: str, tmp_path: Path) -> Beneath:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "f").write_bytes(SECRET)
    (tmp_path / "work" / "d").mkdir(parents=True)
    (tmp_path / "work" / "d" / "f").write_bytes(b"inside")
    return Beneath(tmp_path / "work")


def test_files_inside_are_read_by_relative_and_absolute_paths(root: Beneath) -> None:
    for path in ("d/f", "./d//f", "d/../d/f", str(root.root / "d/f")):
        with root.open(path) as file:
            assert file.read() == b"inside"


def test_a_root_behind_a_link_is_the_place_it_points_to(root: Beneath, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to("work")
    aliased = Beneath(tmp_path / "alias")

    with aliased.open(tmp_path / "alias" / "d" / "f") as file:
        assert file.read() == b"inside"


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "../outside/f",
        "d/../../outside/f",
        "/etc/passwd",
        "//etc/passwd",
        "d/f\0",
        "\ud800",
        "/proc/self/root/etc/passwd",
    ],
)
def test_paths_that_lead_out_are_refused(root: Beneath, path: str) -> None:
    for attempt in (root.open, root.listdir, root.mkdirs, root.remove, lambda p: root.replace(p, b"x")):
        with pytest.raises(PathEscapeError):
            attempt(path)


@pytest.mark.parametrize("target", ["../outside", "/proc/self/cwd", "{outside}", "/", "..", "../work/../outside"])
def test_links_that_lead_out_are_refused(root: Beneath, tmp_path: Path, target: str) -> None:
    (root.root / "l").symlink_to(target.format(outside=tmp_path / "outside"))

    for attempt in (
        lambda: root.open("l/f"),
        lambda: root.listdir("l"),
        lambda: root.replace("l/new", b"x"),
        lambda: root.mkdirs("l/new"),
        lambda: root.remove("l/f"),
        lambda: list(root.walk("l")),
    ):
        with pytest.raises(PathEscapeError):
            attempt()
    assert os.listdir(tmp_path / "outside") == ["f"]


def test_a_link_inside_is_followed_by_openat2_and_refused_without_it(root: Beneath, way: str) -> None:
    (root.root / "l").symlink_to("d/f")

    if way == "openat2":
        with root.open("l") as file:
            assert file.read() == b"inside"
        with pytest.raises(PathEscapeError):
            root.open("l", follow=False)
    else:
        with pytest.raises(PathEscapeError):
            root.open("l")


def test_writing_to_a_link_replaces_the_link_and_not_its_target(root: Beneath, tmp_path: Path) -> None:
    (root.root / "l").symlink_to(tmp_path / "outside" / "f")

    root.replace("l", b"new")

    assert (tmp_path / "outside" / "f").read_bytes() == SECRET
    assert (root.root / "l").read_bytes() == b"new"


def test_a_hard_link_is_not_read_and_writing_breaks_it(root: Beneath, tmp_path: Path) -> None:
    os.link(tmp_path / "outside" / "f", root.root / "h")

    with pytest.raises(PathEscapeError, match="hard links"):
        root.open("h")
    root.replace("h", b"new")

    assert (tmp_path / "outside" / "f").read_bytes() == SECRET


def test_only_regular_files_are_opened_and_none_blocks(root: Beneath) -> None:
    os.mkfifo(root.root / "pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.getcwd()
        os.chdir(root.root)  # the address of a socket may not be long
        try:
            sock.bind("sock")
        finally:
            os.chdir(here)

        for name in ("pipe", "sock", "d"):
            with pytest.raises(OSError, match=r"not a regular file|No such device"):
                root.open(name)


def test_names_that_are_too_long_or_look_alike_are_only_names(root: Beneath) -> None:
    root.replace("caf\u00e9", b"composed")

    with pytest.raises(FileNotFoundError):
        root.open("cafe\u0301")
    with pytest.raises(OSError, match="too long"):
        root.open("x" * 300)


def test_errors_name_the_path_from_the_root(root: Beneath) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        root.open("d/none")
    assert caught.value.filename == "d/none"


def test_a_file_is_replaced_whole_and_keeps_its_mode(root: Beneath) -> None:
    path = root.root / "d" / "f"
    path.chmod(0o750)
    with path.open("rb") as old:
        root.replace("d/f", b"new")
        assert old.read() == b"inside"

    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o750


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    root: Beneath, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        root.replace("d/f", b"new")

    assert [(p.name, p.read_bytes()) for p in (root.root / "d").iterdir()] == [("f", b"inside")]


def test_a_directory_cannot_be_written_over(root: Beneath) -> None:
    for path in (".", "d"):
        with pytest.raises(IsADirectoryError):
            root.replace(path, b"x")


def test_directories_are_made_with_those_above_them(root: Beneath, tmp_path: Path) -> None:
    root.mkdirs("a/b/c")
    root.mkdirs("a/b")
    root.replace("a/b/c/f", b"x")

    assert root.is_dir("a/b/c")
    assert not root.is_dir("a/b/c/f")
    assert not root.is_dir("none")
    with pytest.raises(NotADirectoryError):
        root.mkdirs("a/b/c/f")
    late = Beneath(tmp_path / "late")
    late.mkdirs(".")
    assert late.listdir() == []


def test_the_walk_names_links_and_enters_none(root: Beneath, tmp_path: Path) -> None:
    (root.root / "out").symlink_to(tmp_path / "outside")
    (root.root / "loop").symlink_to(".")
    root.mkdirs(".git/x")
    root.replace(".git/x/g", b"")

    found = [(str(path), entry.kind) for path, entry in root.walk(skip=lambda name: name == ".git")]

    assert found == [("loop", "link"), ("out", "link"), ("d/f", "file")]


def test_a_file_is_removed_and_a_link_without_its_target(root: Beneath, tmp_path: Path) -> None:
    (root.root / "l").symlink_to(tmp_path / "outside" / "f")

    root.remove("l")
    root.remove("d/f")

    assert (tmp_path / "outside" / "f").exists()
    assert root.listdir("d") == []


def exchange(a: Path, b: Path) -> bool:
    """Swap two names at once."""
    swap = getattr(ctypes.CDLL(None), "renameat2", None)
    return swap is not None and swap(-100, bytes(a), -100, bytes(b), 2) == 0


@pytest.fixture
def swapping(tmp_path: Path) -> Iterator[Callable[[], int]]:
    """A thread that swaps `work/d` between the real directory and a link to the outside. Answers how often it did."""
    work, stop, swaps = tmp_path / "work", threading.Event(), [0]
    (work / "evil").symlink_to(tmp_path / "outside")
    if not exchange(work / "d", work / "evil"):
        pytest.skip("this system cannot swap two names at once")
    exchange(work / "d", work / "evil")

    def swap() -> None:
        while not stop.is_set():
            exchange(work / "d", work / "evil")
            swaps[0] += 1

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=swap)
    thread.start()
    yield lambda: swaps[0]
    stop.set()
    thread.join()
    sys.setswitchinterval(interval)


def test_no_read_escapes_while_links_are_swapped(root: Beneath, swapping: Callable[[], int]) -> None:
    seen = {b"inside": 0, SECRET: 0, b"": 0}

    for _ in range(TRIES):
        try:
            with root.open("d/f") as file:
                seen[file.read()] += 1
        except (OSError, PathEscapeError):
            seen[b""] += 1

    assert seen[SECRET] == 0
    assert seen[b"inside"] > 0
    assert seen[b""] > 0, "the swap never met a read: the test would prove nothing"
    assert swapping() > 50


def test_no_write_escapes_while_links_are_swapped(
    root: Beneath, swapping: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: None)

    for n in range(TRIES // 12):
        try:
            root.replace("d/w", b"x")
            root.mkdirs(f"d/m{n % 10}/x")
        except (OSError, PathEscapeError):
            continue

    assert os.listdir(tmp_path / "outside") == ["f"]
    assert (tmp_path / "outside" / "f").read_bytes() == SECRET


def test_the_swap_would_catch_a_check_before_the_open(root: Beneath, swapping: Callable[[], int]) -> None:
    def naive() -> bytes:
        path = (root.root / "d" / "f").resolve()
        if not path.is_relative_to(root.root):
            raise PathEscapeError(str(path))
        return (root.root / "d" / "f").read_bytes()

    escapes = 0
    for _ in range(TRIES):
        try:
            escapes += naive() == SECRET
        except (OSError, PathEscapeError):
            continue
        if escapes:
            break

    assert escapes
