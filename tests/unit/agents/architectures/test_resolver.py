"""From a name to a strategy, also of other people's packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agents.core.agent import Agent
from agents.core.architectures.react import ReAct
from agents.core.architectures.rewoo import ReWOO
from loom.errors import ConfigError

ROOT = Path(__file__).parents[4]
PLUGIN = """
from loom.architecture import ReAct

class Shouting(ReAct):
    name = "shouting"

    async def run(self, session, deps, prompt):
        async for event in super().run(session, deps, prompt.upper()):
            yield event
"""
PROGRAM = """
import asyncio
from loom import Agent

agent = Agent("...", model="echo", architecture="shouting")
print(agent.architecture.name, asyncio.run(agent.run("two words")).output)
try:
    Agent("...", model="echo", architecture="shoutign")
except Exception as error:
    print(error)
"""


def test_a_strategy_is_a_name_an_instance_or_nothing() -> None:
    strategy = ReWOO(max_steps=2)

    assert isinstance(Agent("...", model="echo").architecture, ReAct)
    assert isinstance(Agent("...", model="echo", architecture="rewoo").architecture, ReWOO)
    assert Agent("...", model="echo", architecture=strategy).architecture is strategy


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("rewo", "no architecture 'rewo'; did you mean 'rewoo'?"),
        ("router", "the architecture 'router' needs workers: give an instance, or use Team.router"),
        (object(), "an architecture is a name or has `name`, `run` and `declared_workers`"),
    ],
)
def test_what_is_no_strategy_is_refused_with_what_would_help(wrong: object, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Agent("...", model="echo", architecture=wrong)  # type: ignore[arg-type]

    assert said in str(caught.value)


def test_an_entry_point_of_another_package_is_a_strategy_and_a_broken_one_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "shouting.py").write_text(PLUGIN)
    about = tmp_path / "shouting-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[loom.architecture]\nbroken = nowhere:Nothing\nshouting = shouting:Shouting\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "shouting Echo: TWO WORDS"
    assert "did you mean 'shouting'?" in second
    assert "the architecture plugin broken does not load; it is skipped" in done.stderr
