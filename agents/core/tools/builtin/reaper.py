"""Runs one program and ends every process that it started; used as a script, never imported by Loom.

It makes itself the reaper of orphans, so a process that forks twice, starts a session of its own or empties its
environment is still found below it. It ends all of them when the program ends, or when its standard input closes: Loom
closes that after a timeout, and the kernel does when Loom itself is killed. Its exit code is the program's.

Only the standard library, and `-I -S`: it must start in milliseconds.
"""

import ctypes
import os
import select
import signal
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
POLITE = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
PATIENCE_SECONDS = 5.0  # for processes that no signal of ours reaches: those of another user


def main(argv: list[str]) -> int:
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        return 126
    child_ended, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    for number in POLITE:  # `pkill python` means another one
        signal.signal(number, signal.SIG_IGN)
    try:
        program = os.posix_spawnp(
            argv[0],
            argv,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)],
            setsid=True,
            setsigdef=[signal.SIGCHLD, signal.SIGPIPE, *POLITE],
        )
    except OSError as problem:
        sys.stderr.write(f"cannot start {argv[0]!r}: {problem.strerror}\n")
        return 126
    code = None
    while code is None:
        ready, _, _ = select.select([0, child_ended], [], [])
        code = reap(program)
        if 0 in ready and not os.read(0, 1):
            break
        if child_ended in ready:
            os.read(child_ended, 4096)
    end_all()
    return 128 + signal.SIGKILL if code is None else code


def reap(program: int) -> int | None:
    """Collect the dead. Answers the program's exit code when it is among them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == program:
            ended = os.waitstatus_to_exitcode(status)
            code = ended if ended >= 0 else 128 - ended


def end_all() -> None:
    """Stop, then kill, everything below, until nothing is left. Stopped first, so that none forks on meanwhile."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        reap(0)
        below = descendants()
        if not below:
            return
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in below:
                try:
                    os.kill(pid, number)
                except (ProcessLookupError, PermissionError):
                    continue
        time.sleep(0.001)


def descendants() -> list[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rsplit(b")", 1)[1].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            children.setdefault(parent, []).append(int(name))
    found, todo = [], [os.getpid()]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
