"""How a run stops in the middle and goes on another day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime


class Suspended(BaseException):
    """The run cannot go on before something happens outside: a person decides, or a time comes.

    Not an Exception: no retry, no tool and no worker may take it for a failure. Whoever runs several things at once
    lets the others come to their end first (see `concurrency.together`); the engine turns it into a value.

    `steps` are the structural paths that wait; `until` is the earliest time at which one of them goes on by itself.
    """

    def __init__(self, steps: Sequence[str], until: datetime | None = None) -> None:
        super().__init__(f"waiting at {', '.join(steps)}")
        self.steps, self.until = tuple(steps), until

    @classmethod
    def of(cls, waits: Sequence[Suspended]) -> Suspended:
        """Several waits as one."""
        times = [wait.until for wait in waits if wait.until is not None]
        return cls([step for wait in waits for step in wait.steps], min(times, default=None))
