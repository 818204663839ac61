"""What a workflow is made of: steps, and the two ends."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
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
class Choice:
    """Where to go by what a function says about a value."""

    choose: Callable[[Any], Any]
    routes: Mapping[str, Target]
    default: Target | None = None


def check_step(name: str, candidate: StepLike) -> None:
    """Raise TypeError for something that cannot be a step."""
    if isinstance(candidate, FanOut | Tool) or callable(candidate) or hasattr(candidate, "answer"):
        return
    raise TypeError(f"step {name!r} is a function, a tool, an agent or a workflow, not {type(candidate).__name__}")


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
