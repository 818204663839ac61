"""A session that looks back: what has a run done, and what of it can be undone?"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from agents.core.runtime.journal import Journal, JournalSession
from agents.core.runtime.suspended import Suspended
from loom.events import Event, Kind, Record
from loom.messages import ToolCall, ToolResult, utcnow

log = logging.getLogger(__name__)


class Undoes(Protocol):
    """A tool host whose tools may have a `compensate`."""

    def can_undo(self, tool: str) -> bool: ...

    async def undo(self, tool: str, args: dict[str, Any], output: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Effect:
    """A call that was made and can be undone."""

    step: str
    tool: str
    args: dict[str, Any]
    output: Any
    host: Undoes


class UnwindingSession(JournalSession):
    """Gives back what is recorded and runs nothing new: at the end of the journal the run is suspended.

    The loop tells it of every call that is replayed; `undo` then is a step like any other.
    """

    def __init__(self, session_id: str, journal: Journal, recorded: Sequence[Record] = ()) -> None:
        super().__init__(session_id, journal, recorded)
        self._order = {r.step_key: place for place, r in enumerate(recorded) if r.kind == Kind.TOOL_COMPLETED}
        self._effects: dict[str, Effect] = {}
        self._foreign = (recorded[0].data.get("from") or {}).get("foreign", 0) if recorded else 0

    def did(self, step: str, call: ToolCall, result: ToolResult, host: Any) -> None:
        """A replayed call. What was refused, answered by a person or failed has had no effect to undo."""
        started = self._started.get(step)
        if not result.ok or started is None or "effect" not in started.data:
            return
        if getattr(host, "can_undo", None) is not None and host.can_undo(call.tool):
            args = started.data.get("edited_args") or call.args
            self._effects[step] = Effect(step, call.tool, args, result.output, host)

    def effects(self) -> list[Effect]:
        """What can be undone, the last first. What the run began with and another run answers for is left alone."""
        own = [effect for effect in self._effects.values() if self._order[effect.step] >= self._foreign]
        return sorted(own, key=lambda effect: self._order[effect.step], reverse=True)

    async def undo(self, effect: Effect) -> bool:
        """Undo one effect as a step of the run; whether that worked. What was undone before is not undone again."""

        async def undo(args: dict[str, Any]) -> bool:
            await effect.host.undo(effect.tool, args, effect.output)
            return True

        try:
            return bool(await super().step(f"{effect.step}/undo", undo, effect.args))
        except Exception:
            log.exception("%s cannot be undone", effect.step)
            return False

    async def step(
        self,
        name: str,
        fn: Callable[..., Awaitable[Any]],
        *args: Any,
        idempotency_key: str | None = None,
        **kwargs: Any,
    ) -> Any:
        if not self.is_recorded(name):
            raise Suspended([name])
        return await super().step(name, fn, *args, idempotency_key=idempotency_key, **kwargs)

    async def stream_step(
        self, name: str, fn: Callable[..., AsyncIterator[Any]], *args: Any, **kwargs: Any
    ) -> AsyncIterator[Any]:
        if not self.is_recorded(name):
            raise Suspended([name])
        async for item in super().stream_step(name, fn, *args, **kwargs):
            yield item

    async def _wait_until(self, name: str, moment: datetime) -> None:
        if moment > utcnow():  # it was asleep when it was cancelled
            raise Suspended([name])

    def note(self, event: Event) -> None:
        """Nothing new happens here."""
