"""Faults that somebody asked for: where they happen, and that nothing happens otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from agents.core import faults


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    faults.arm(())


def test_nothing_happens_where_nothing_was_asked_for() -> None:
    for point in faults.POINTS:
        faults.reach(point)


def test_a_fault_happens_at_its_point_the_time_it_was_asked_for() -> None:
    faults.arm(faults.parse("before_step:exception:2"))

    faults.reach("before_step")
    faults.reach("before_event")
    with pytest.raises(faults.Fault, match="fault at before_step"):
        faults.reach("before_step")
    faults.reach("before_step")


def test_a_delay_holds_up_who_comes_by() -> None:
    faults.arm(faults.parse("before_event:delay=0.05:1, before_event:exception:2"))

    began = time.monotonic()
    faults.reach("before_event")

    assert time.monotonic() - began >= 0.05
