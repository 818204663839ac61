"""What closes when nobody holds it any more, for agents are dropped and not closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from weakref import finalize

Close = Callable[[], Coroutine[Any, Any, None]]

_closing: set[asyncio.Task[None]] = set()  # an event loop holds its tasks weakly


def close_when_dropped(owner: object, close: Close) -> None:
    """Close what `owner` opened in this event loop, if that still runs then.

    `close` must not refer to the owner, and do nothing when it is called once more.
    """
    finalize(owner, _close_later, close, asyncio.get_running_loop()).atexit = False


def _close_later(close: Close, loop: asyncio.AbstractEventLoop) -> None:
    def begin() -> None:
        task = loop.create_task(close())
        _closing.add(task)
        task.add_done_callback(_closing.discard)

    if loop.is_running():
        loop.call_soon_threadsafe(begin)
