"""Who the servers run as, and from where.

PostgreSQL refuses to run as root. Then both servers run as a system user that owns their data and nothing else, from a
copy of the binaries that root owns: the virtual environment may lie where that user cannot look.
"""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loom.errors import Unavailable

SYSTEM_USER = "loom-servers"
PUBLIC = Path("/usr/local/lib/loom")
# Servers inherit nothing else: neither provider keys nor the locale of whoever started them.
ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C"}


@dataclass(frozen=True)
class Account:
    """The system user that runs the servers; `is_other` when it is not the caller."""

    uid: int
    gid: int
    is_other: bool

    def run(self, *words: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program as this account to its end. Its exit code is the caller's to read."""
        return subprocess.run(  # noqa: S603 - the programs are ours
            [*self._prefix(), *map(str, words)],
            input=text or "",
            text=True,
            capture_output=True,
            env=ENVIRONMENT,
            cwd="/",
            timeout=120,
            start_new_session=True,  # a Ctrl-C in the terminal is for the supervisor only
            check=False,
        )

    def make_private(self, path: Path) -> None:
        """Give a file or folder to this account and to nobody else."""
        path.chmod(0o700 if path.is_dir() else 0o600)
        if self.is_other:
            os.chown(path, self.uid, self.gid)

    def can_enter(self, folder: Path) -> bool:
        return not self.is_other or self.run("test", "-x", folder).returncode == 0

    def _prefix(self) -> Sequence[str]:
        if not self.is_other:
            return ()
        return ("setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups", "--no-new-privs")


def account_for(folder: Path) -> Account:
    """The account that owns the data in `folder`, or will own it.

    Data that an ordinary user began stays that user's, also when root starts the servers.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), is_other=False)
    if sys.platform != "linux" or shutil.which("setpriv") is None:
        raise Unavailable("the embedded servers cannot run as root here: start Loom as an ordinary user")
    owner = folder.stat() if folder.exists() else None
    if owner is not None and owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid, is_other=True)
    user = _system_user()
    return Account(user.pw_uid, user.pw_gid, is_other=True)


def public_copy(name: str, *folders: Path) -> Path:
    """Copy folders, side by side as they are, to where every user may read and only root may write."""
    target = PUBLIC / name
    if target.is_dir() and target.stat().st_uid == 0:
        return target
    PUBLIC.mkdir(parents=True, exist_ok=True)
    PUBLIC.chmod(0o755)
    draft = PUBLIC / f".{name}.{os.getpid()}"
    for folder in folders:
        shutil.copytree(folder, draft / folder.name, symlinks=True)
    _make_readable(draft)
    try:
        draft.rename(target)
    except OSError:  # another start was faster
        shutil.rmtree(draft)
    return target


def _make_readable(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _system_user() -> pwd.struct_passwd:
    if found := _find_user():
        return found
    useradd = shutil.which("useradd", path=ENVIRONMENT["PATH"])
    if useradd is None:
        raise Unavailable(f"root needs the system user {SYSTEM_USER!r} for the embedded servers: create it")
    words = (
        "--system",
        "--user-group",
        "--no-create-home",
        "--home-dir",
        "/nonexistent",
        "--shell",
        "/usr/sbin/nologin",
    )
    made = subprocess.run([useradd, *words, SYSTEM_USER], capture_output=True, text=True, check=False)  # noqa: S603
    if found := _find_user():  # also when another start made it meanwhile
        return found
    raise Unavailable(f"cannot create the system user {SYSTEM_USER!r}: {made.stderr.strip()}")


def _find_user() -> pwd.struct_passwd | None:
    return next((user for user in pwd.getpwall() if user.pw_name == SYSTEM_USER), None)
