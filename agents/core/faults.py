"""Breaking on purpose, so that tests can prove that nothing is lost by it.

`LOOM_FAULT=point:action:nth` names a place, what happens there, and the how manyth time that this process comes by;
several are separated by commas:

    LOOM_FAULT=before_step:crash:2                 the process is gone at once, as by kill -9
    LOOM_FAULT=before_event:exception:1            what a database that is away would raise
    LOOM_FAULT=after_claim:delay=5:1               the thread that comes by stands still for five seconds
    LOOM_FAULT=before_finish:pause:1               the process is stopped (SIGSTOP) until somebody continues it
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from loom.errors import ConfigError, Interrupted

POINTS: Mapping[str, str] = MappingProxyType(
    {
        "after_claim": "a worker has taken a run and done nothing for it",
        "before_step": "a step is about to be written as begun",
        "after_effect_before_checkpoint": "a step has had its effect, and its result is not written",
        "after_checkpoint": "records are committed, and the run does not know it yet",
        "before_event": "records are about to be written",
        "before_settle": "a model has answered, and its cost is not booked with the budget",
        "before_finish": "the run is at its end, and that is not written",
        "in_sweeper": "runs are claimed, and the claim is not committed",
        "in_on_commit": "a run is accepted and committed, and no worker has been told",
    }
)
ACTIONS = ("crash", "exception", "delay=SECONDS", "pause")


class Fault(Interrupted):
    """A failure that LOOM_FAULT asked for."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens at one point, the nth time that this process gets there."""

    point: str
    action: str
    nth: int
    seconds: float = 0.0


log = logging.getLogger(__name__)

armed: tuple[Plan, ...] = ()
_reached: Counter[str] = Counter()


def parse(text: str) -> tuple[Plan, ...]:
    """The plans in a value of LOOM_FAULT. Raises ConfigError, which says what there is."""
    return tuple(_plan(part.strip()) for part in text.split(",") if part.strip())


def arm(plans: tuple[Plan, ...]) -> None:
    """From now on this process breaks as planned."""
    global armed
    armed = plans
    _reached.clear()


def reach(point: str) -> None:
    """This is the point of that name. Does nothing unless a plan says otherwise."""
    if not armed:
        return
    _reached[point] += 1
    for plan in armed:
        if plan.point == point and plan.nth == _reached[point]:
            _break(plan)


def _break(plan: Plan) -> None:
    log.warning("fault at %s: %s", plan.point, plan.action)
    match plan.action:
        case "crash":
            os._exit(137)
        case "exception":
            raise Fault(f"fault at {plan.point}", point=plan.point)
        case "delay":
            time.sleep(plan.seconds)
        case "pause":
            os.kill(os.getpid(), signal.SIGSTOP)


def _plan(text: str) -> Plan:
    point, _, rest = text.partition(":")
    action, _, nth = rest.partition(":")
    if point not in POINTS:
        raise ConfigError(f"LOOM_FAULT: {text!r} names no point; there are {', '.join(POINTS)}")
    name, _, seconds = action.partition("=")
    if name not in {known.partition("=")[0] for known in ACTIONS} or (name == "delay") is not _is_number(seconds):
        raise ConfigError(f"LOOM_FAULT: {text!r} names no action; there are {', '.join(ACTIONS)}")
    if not (nth.isascii() and nth.isdecimal() and int(nth) > 0):
        raise ConfigError(f"LOOM_FAULT: {text!r} does not say which time, as in {point}:{action}:1")
    return Plan(point, name, int(nth), float(seconds or 0))


def _is_number(text: str) -> bool:
    whole, _, part = text.partition(".")
    return whole.isascii() and whole.isdecimal() and (not part or (part.isascii() and part.isdecimal()))
