"""PDFium in a process of its own.

It is native code, it is not made for threads, and a PDF of one kilobyte can make it fill the memory of the machine: it
then ends its process. So that process has limits and knows nothing of our environment.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from loom.errors import Unavailable

MEMORY_BYTES = 1 << 30
CPU_SECONDS = 60
MAX_LETTERS = 128 << 20
_CHILD = str(Path(__file__).with_name("pdfium_child.py"))


@dataclass(frozen=True, slots=True)
class Found:
    """The text of each page, and by number the pages that could not be read, which have none."""

    title: str
    texts: list[str]
    failures: dict[int, str]


class PdfiumFailed(Unavailable):
    """PDFium could not read a document."""

    retryable = False


def read(file: Path) -> Found:
    """Raises PdfiumFailed for a document that cannot be read within the limits."""
    request = {
        "file": str(file.resolve()),
        "sys_path": sys.path,
        "memory_bytes": MEMORY_BYTES,
        "cpu_seconds": CPU_SECONDS,
        "max_letters": MAX_LETTERS,
    }
    try:
        # Isolated: a module of ours beside it has the name of one of Python's.
        done = subprocess.run(  # noqa: S603  # our own interpreter and program
            [sys.executable, "-I", _CHILD],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=2 * CPU_SECONDS,
            env={},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PdfiumFailed(f"reading it took more than {2 * CPU_SECONDS} seconds") from error
    if done.returncode:
        raise PdfiumFailed(_why(done))
    answer = json.loads(done.stdout)
    failures = {int(number): failure for number, failure in answer["failures"].items()}
    return Found(answer["title"], answer["texts"], failures)


def _why(done: subprocess.CompletedProcess[bytes]) -> str:
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return f"it took more than {MEMORY_BYTES >> 20} MiB or {CPU_SECONDS} seconds, or broke the parser ({name})"
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"the parser ended with {done.returncode}"
