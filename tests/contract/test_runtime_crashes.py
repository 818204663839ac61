"""A process is killed in the middle of a run, and another one goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.contract.durable import new_place

ROOT = Path(__file__).parents[2]


@dataclass
class Story:
    """A program that dies, and the one that comes after it."""

    kind: str
    place: str
    ledger: Path

    def dies(self, point: str, effect: str = "keyed", **env: str) -> None:
        assert self._run(CRASH_AT=point, EFFECT=effect, **env).returncode == -signal.SIGKILL

    def goes_on(self, effect: str = "keyed") -> str:
        done = self._run(EFFECT=effect, GO_ON="1")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def paid(self) -> list[tuple[str, str]]:
        """Each payment with its idempotency key."""
        return [(bill, key) for bill, key in (line.split() for line in self.ledger.read_text().splitlines())]

    def bills(self) -> str:
        return "".join(bill for bill, _ in self.paid())

    def _run(self, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tests.contract.crashing_program", self.kind, self.place, str(self.ledger)],
            cwd=ROOT,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture(params=["sqlite", "postgres"])
def story(request: pytest.FixtureRequest, tmp_path: Path) -> Story:
    return Story(request.param, new_place(request.param, tmp_path), tmp_path / "ledger")


def test_killed_before_a_step_the_run_goes_on_with_it_and_repeats_nothing(story: Story) -> None:
    story.dies("before_step")
    assert story.bills() == "1"

    assert story.goes_on() == "paid 1 | paid 2"
    assert story.bills() == "12"


def test_killed_after_a_step_was_recorded_the_run_does_not_repeat_it(story: Story) -> None:
    story.dies("after_record")

    assert story.goes_on() == "paid 1 | paid 2"
    assert story.bills() == "12"


@pytest.mark.parametrize("effect", ["keyed", "idempotent", "read"])
def test_killed_between_effect_and_record_a_tool_is_called_again_with_its_key(story: Story, effect: str) -> None:
    """C8: the call in flight was made again with no key that the tool could have known it by."""
    story.dies("after_effect", effect)

    assert story.goes_on(effect) == "paid 1 | paid 2"
    assert story.bills() == "122"
    (_, first), (_, second), (_, again) = story.paid()
    assert first != second
    assert second == again


def test_killed_between_effect_and_record_an_irreversible_tool_is_not_called_again(story: Story) -> None:
    story.dies("after_effect", "irreversible")

    said = story.goes_on("irreversible")

    assert story.bills() == "12"
    assert said.startswith("paid 1 | ERROR:")
    assert "whether it took effect is not known" in said


def test_a_run_that_is_killed_again_and_again_still_ends_once(story: Story) -> None:
    story.dies("before_step")
    story.dies("after_effect", GO_ON="1")
    story.dies("after_record", GO_ON="1")

    assert story.goes_on() == "paid 1 | paid 2"
    assert story.bills() == "122"  # the second time with the key of the first
    assert story.goes_on() == ""
