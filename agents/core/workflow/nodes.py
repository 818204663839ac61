"""What a workflow is made of: steps, and the two ends."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

from agents.core.tools.tool import Tool
from governance.core.retry import RetryPolicy

# A function of one value (async, or sync and then run in a thread), a tool, an agent, or a workflow.
StepLike = Any


class End(Enum):
    START = "START"
    END = "END"

    def __repr__(self) -> str:
        return repr(self.value)


LONGEST_SLEEP_SECONDS = 366 * 24 * 3600

START, END = End.START, End.END
Target = str | End


@dataclass(frozen=True)
class Node:
    """A step under its name. `from_input` steps get the workflow's input instead of the last value."""

    name: str
    step: StepLike
    retry: RetryPolicy | None = None
    timeout: float | None = None
    from_input: bool = False


@dataclass(frozen=True)
class FanOut:
    """Steps that run at the same time on the same value; `merge` gets their results in order."""

    nodes: tuple[Node, ...]
    merge: Callable[[list[Any]], Any] | None = None
    concurrency: int | None = None


@dataclass(frozen=True)
class Sleep:
    """A step that lets time pass and hands on what it was given."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Choice:
    """Where to go by what a function says about a value."""

    choose: Callable[[Any], Any]
    routes: Mapping[str, Target]
    default: Target | None = None


def check_step(name: str, candidate: StepLike) -> None:
    """Raise TypeError for something that cannot be a step."""
    if isinstance(candidate, FanOut | Sleep | Tool) or callable(candidate) or hasattr(candidate, "answer"):
        return
    raise TypeError(f"step {name!r} is a function, a tool, an agent or a workflow, not {type(candidate).__name__}")


def sleep(name: str, duration: float | timedelta) -> Sleep:
    """A step that waits for so many seconds, counted from when the run first comes to it.

    On the platform the run holds no worker meanwhile, however long it is, and no crash makes it wait again. Raises
    ValueError for a time that is none, or longer than a year.
    """
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
    if not 0 <= seconds <= LONGEST_SLEEP_SECONDS:  # nor NaN
        raise ValueError(f"sleep {name!r} takes 0 to {LONGEST_SLEEP_SECONDS} seconds, not {seconds}")
    return Sleep(name, seconds)


def name_of(candidate: StepLike) -> str:
    name = getattr(candidate, "name", None) or getattr(candidate, "__name__", None)
    return str(name or type(candidate).__name__)


def step(fn: Callable[..., Awaitable[Any]] | None = None, *, name: str | None = None) -> Any:
    """Decorator: name an async function as a step. Raises TypeError for a sync one."""
    if fn is None:
        return functools.partial(step, name=name)
    if not inspect.iscoroutinefunction(fn):
        raise TypeError(f"@step is for async functions, and {name_of(fn)} is not one")

    @functools.wraps(fn)
    async def named(*args: Any, **kwargs: Any) -> Any:
        return await fn(*args, **kwargs)

    named.__name__ = name or fn.__name__
    return named
