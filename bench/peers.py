"""The frameworks that the SDK is compared with, each in a virtual environment of its own below `var/bench/`."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = ROOT / "var" / "bench"
DRIVERS = Path(__file__).parent / "drivers"
_INSTALL_SECONDS = 600
_ANSWER_SECONDS = 120  # the longest that one scenario takes anybody is a few seconds


class Missing(Exception):
    """A peer cannot be measured; the message says why."""


@dataclass(frozen=True)
class Framework:
    """A framework, what it needs installed, and what its users import first."""

    name: str
    driver: str
    first_import: str
    packages: tuple[str, ...] = ()

    def python(self) -> Path:
        """The interpreter that has it; its environment is made once. Raises Missing."""
        if not self.packages:
            return Path(sys.executable)
        folder = ENVIRONMENTS / self.name
        note = folder / "packages.txt"
        wanted = "\n".join(self.packages)
        if not note.exists() or note.read_text() != wanted:
            self._install(folder)
            note.write_text(wanted)
        return folder / "bin" / "python"

    def _install(self, folder: Path) -> None:
        uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
        if uv is None:
            raise Missing("uv is not installed")
        for words in (
            ("venv", "--quiet", "--clear", "--python", sys.executable, str(folder)),
            ("pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), *self.packages),
        ):
            done = subprocess.run([uv, *words], capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
            if done.returncode:
                raise Missing(f"uv {words[0]} failed: {done.stderr.strip().splitlines()[-1:]}")

    def version(self) -> str:
        if not self.packages:
            return ""
        code = f"from importlib.metadata import version; print(version({self.packages[0].split('[')[0]!r}))"
        return subprocess.check_output([self.python(), "-c", code], text=True).strip()


LOOM = Framework("loom", "on_loom.py", "from loom import Agent")
BY_HAND = Framework("by hand", "by_hand.py", "pass")
PEERS = (
    Framework(
        "langgraph", "on_langgraph.py", "from langchain.agents import create_agent",
        ("langgraph", "langchain", "langchain-openai"),
    ),
    Framework("pydantic-ai", "on_pydantic_ai.py", "from pydantic_ai import Agent", ("pydantic-ai-slim[openai]",)),
    Framework("openai-agents", "on_openai_agents.py", "from agents import Agent", ("openai-agents",)),
    Framework("agno", "on_agno.py", "from agno.agent import Agent", ("agno", "openai")),
    Framework(
        "agent-framework", "on_agent_framework.py", "from agent_framework import Agent",
        ("agent-framework-core", "agent-framework-openai"),
    ),
    Framework("loomflow", "on_loomflow.py", "from loomflow import Agent", ("loomflow", "openai")),
)  # fmt: skip


class Driver:
    """A framework's own process, which runs scenarios when it is asked to."""

    def __init__(self, framework: Framework, environment: dict[str, str]) -> None:
        self.name = framework.name
        python = framework.python()
        self._process = subprocess.Popen(
            [python, str(DRIVERS / framework.driver)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**environment, **({} if framework.packages else {"PYTHONPATH": str(ROOT)})},
        )
        self.scenarios: Sequence[str] = self._read()["scenarios"]

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(self, scenario: str, seconds: float) -> float:
        """Seconds per operation. Raises Missing when the framework fails at it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"scenario": scenario, "seconds": seconds}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Missing(f"its driver ended with code {self._process.wait()}") from None
        answer = self._read()
        if "error" in answer:
            raise Missing(answer["error"])
        return float(answer["seconds"])

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], _ANSWER_SECONDS)[0]:
            self._process.kill()
            raise Missing(f"its driver said nothing for {_ANSWER_SECONDS} s")
        line = self._process.stdout.readline()
        if not line:
            raise Missing(f"its driver ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with suppress(BrokenPipeError):
            self._process.stdin.close()  # type: ignore[union-attr]
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
