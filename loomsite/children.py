"""The processes that the supervisor looks after."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from loomsite import guardian
from loomsite.env import ROOT

BACKOFF_SECONDS = (0.5, 1, 2, 5, 10, 30)
# Who ran this long was healthy: the next death is a new story.
HEALTHY_SECONDS = 60.0


class Guardian:
    """Our end of the pipe to the process that cleans up when we are killed."""

    def __init__(self, data_dir: Path) -> None:
        script = Path(guardian.__file__)
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", str(script), str(data_dir)],
            stdin=subprocess.PIPE,
            bufsize=0,
            cwd=ROOT,
            start_new_session=True,
        )

    def tell(self, *words: object) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # without a guardian everything works but kill -9
            self._process.stdin.write(" ".join(map(str, words)).encode() + b"\n")

    def dismiss(self) -> None:
        self._process.communicate(b"bye\n")


class Child:
    """One process in a session of its own, with its output in a log. `words` follow `python`."""

    def __init__(
        self, name: str, words: Sequence[str], *, log: Path, env: Mapping[str, str], guardian: Guardian
    ) -> None:
        self.name, self.words, self.log = name, words, log
        self.deaths = 0
        # A terminal that does not know a letter shall not end the process that writes it.
        self._env = {**os.environ, **env, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": f"{sys.stdout.encoding}:replace"}
        self._guardian = guardian
        self._started_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, stdout: int | None = None) -> subprocess.Popen[bytes]:
        """Start the process. Its errors go to the log, and its output too unless `stdout` says otherwise."""
        self._started_at = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, *self.words],
                stdin=subprocess.DEVNULL,
                stdout=log if stdout is None else stdout,
                stderr=log,
                cwd=ROOT,
                env=self._env,
                start_new_session=True,
            )
        self._guardian.tell("+", self._process.pid)
        return self._process

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def death(self) -> int | None:
        """The exit code, once the process ended."""
        return self._process.poll() if self._process else None

    def end(self, patience_seconds: float) -> None:
        """Make the process end, if it did not, and bury it."""
        deadline = time.monotonic() + patience_seconds
        self.signal(signal.SIGTERM)
        while self.death() is None and self.pid and time.monotonic() < deadline:
            time.sleep(0.02)
        self.bury()

    def signal(self, number: int) -> None:
        if self._process and self._process.poll() is None:
            guardian.send({self._process.pid}, number)

    def bury(self) -> None:
        """Take note of a death, and end what the process left behind in its group."""
        if self._process is None:
            return
        guardian.send({self._process.pid}, signal.SIGKILL)
        self._process.wait()
        self._guardian.tell("-", self._process.pid)
        was_healthy = time.monotonic() - self._started_at > HEALTHY_SECONDS
        self.deaths = 1 if was_healthy else self.deaths + 1
        self._process = None

    def backoff_seconds(self) -> float:
        return BACKOFF_SECONDS[min(self.deaths, len(BACKOFF_SECONDS)) - 1]

    def tail(self, lines: int = 15) -> str:
        """The end of the log, for people."""
        with self.log.open(errors="replace") as log:
            return "".join(f"    {line}" for line in deque(log, maxlen=lines)).rstrip()


class Family:
    """The children that must live."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._children: list[Child] = []
        self._due: dict[str, float] = {}
        self._say = say

    def add(self, child: Child) -> None:
        self._children.append(child)
        child.start()

    def tend(self) -> None:
        """Start again what died, later each time."""
        for child in self._children:
            code = child.death()
            if code is not None:
                child.bury()
                wait = child.backoff_seconds()
                self._due[child.name] = time.monotonic() + wait
                self._say(f"\n{child.name} ended ({_cause(code)}); it starts again in {wait:g} s. {child.log} ends:")
                self._say(child.tail())
            elif child.pid is None and time.monotonic() >= self._due[child.name]:
                child.start()

    def worst(self) -> Child | None:
        """The child that died most often, if one died."""
        worst = max(self._children, key=lambda child: child.deaths, default=None)
        return worst if worst and worst.deaths else None

    def end(self, patience_seconds: float) -> None:
        """Make all of them end, at the same time."""
        deadline = time.monotonic() + patience_seconds
        for child in self._children:
            child.signal(signal.SIGTERM)
        for child in self._children:
            child.end(deadline - time.monotonic())
        self._children.clear()


def _cause(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
