"""Scripts of skills in a box: a process that sees its skill's folder, the system's programs and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from agents.core.skills.process import Finished, run_process
from governance.core.sandbox.bubblewrap import Bubblewrap, prefixes


class Boxed:
    """Starts scripts in a `Bubblewrap`: `SkillRegistry(["skills/"], run=Boxed())`.

    The skill's folder can be read and not written, `/tmp` is empty, and there is no network unless the box has one.
    Raises SandboxError where the host has no such box. `python` is the interpreter of `.py` scripts, for a box whose
    user cannot read ours.
    """

    def __init__(self, box: Bubblewrap | None = None, *, python: str | Path | None = None) -> None:
        self._box = box or Bubblewrap()
        self._python = str(python or sys.executable)

    async def __call__(
        self,
        argv: Sequence[str],
        *,
        folder: Path,
        env: Mapping[str, str],
        timeout_seconds: float,
        max_output_bytes: int,
    ) -> Finished:
        program, *words = argv
        program = self._python if program == sys.executable else program
        command = self._box.program([program, *words], folder=folder, env=env, readable=prefixes(program))
        return await run_process(
            command, folder=folder, env={}, timeout_seconds=timeout_seconds, max_output_bytes=max_output_bytes
        )
