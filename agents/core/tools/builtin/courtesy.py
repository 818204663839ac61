"""Commands that nobody means: a slip of a model is stopped before it wipes a disk.

This is a courtesy and no protection. A shell has endless ways to say the same thing, and whoever wants to will find
one; what a command can reach is decided by the sandbox it runs in.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Sequence
from itertools import dropwhile

LOOKED_AT_CHARS = 4_000  # a slip is short, and looking must cost nothing

_END_OF_COMMAND = re.compile(r"\|\||&&|\$\(|[;&|\n(){}`]")
_ASSIGNMENT = re.compile(r"\w+=")
_HOME = re.compile(r"~\w*|\$HOME|\$\{HOME\}")
_FORK_BOMB = re.compile(r"([\w:.]{1,40}) {0,9}\(\) {0,9}\{ {0,9}\1 {0,9}\| {0,9}\1")
_DISK = re.compile(r"(?:of=|>\s*)/dev/(?:sd|hd|vd|xvd|nvme|mmcblk|disk)")
_SYSTEM = frozenset({"/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/opt", "/root", "/sbin", "/usr", "/var"})
_RUNS_ANOTHER = frozenset(
    {"sudo", "doas", "env", "command", "exec", "eval", "nohup", "nice", "time", "timeout", "xargs", "busybox", "setsid"}
    | {"sh", "bash", "zsh", "dash", "ksh", "su", "then", "do", "else", "!"}
)


def objection(command: str) -> str | None:
    """Why a command should not run, or None."""
    command = command[:LOOKED_AT_CHARS]
    if _FORK_BOMB.search(command):
        return "it starts itself without end"
    if _DISK.search(command):
        return "it writes over a disk"
    for piece in _END_OF_COMMAND.split(command):
        if reason := _about(_words(piece)):
            return reason
    return None


def _words(piece: str) -> list[str]:
    try:
        return shlex.split(piece)
    except ValueError:  # a quote that ends in another piece
        return [word.strip("'\"") for word in piece.split()]


def _about(words: Sequence[str]) -> str | None:
    """The objection to one simple command, or to what it runs: `sudo -n rm …`, `sh -c 'rm …'`."""
    words = [word for word in words if not _ASSIGNMENT.match(word)]
    own = list(dropwhile(lambda word: word.startswith("-") or os.path.basename(word) in _RUNS_ANOTHER, words))
    if len(own) < len(words):
        for script in filter(lambda word: " " in word, own):
            if reason := objection(script):
                return reason
    name = os.path.basename(own[0]) if own else ""
    check = _CHECKS.get("mkfs" if name.startswith("mkfs") else name)
    return check(own[1:]) if check else None


def _rm(words: Sequence[str]) -> str | None:
    recursive = _has_option(words, "rR", "--recursive")
    return "it deletes a system or home directory" if recursive and any(map(_is_vital, words)) else None


def _find(words: Sequence[str]) -> str | None:
    deletes = "-delete" in words or any(os.path.basename(word) in ("rm", "shred") for word in words)
    return "it deletes a system or home directory" if deletes and any(map(_is_vital, words)) else None


def _open_up(words: Sequence[str]) -> str | None:
    recursive = _has_option(words, "R", "--recursive")
    return "it changes a system or home directory" if recursive and any(map(_is_vital, words)) else None


def _has_option(words: Sequence[str], letters: str, name: str) -> bool:
    return any(
        word == name or (word.startswith("-") and not word.startswith("--") and set(letters) & set(word))
        for word in words
    )


def _is_vital(word: str) -> bool:
    plain = word.rstrip("*")
    if _HOME.fullmatch(plain.rstrip("/")):
        return True
    return plain.startswith("/") and os.path.normpath(plain).replace("//", "/") in _SYSTEM


def _always(reason: str) -> Callable[[Sequence[str]], str | None]:
    return lambda words: reason


_CHECKS: dict[str, Callable[[Sequence[str]], str | None]] = {
    "rm": _rm,
    "find": _find,
    "chmod": _open_up,
    "chown": _open_up,
    "mkfs": _always("it formats a disk"),
    **{name: _always("it stops the machine") for name in ("shutdown", "reboot", "halt", "poweroff")},
}
