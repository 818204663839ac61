"""What surrounds a run: given by whoever runs it, taken on by every agent and workflow nested in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import anyio

from agents.core.architectures.base import Dependencies, Emit
from agents.core.runtime.base import Steps
from agents.core.tools.base import ToolHost
from audit.core.log import AuditLog
from audit.core.telemetry import Telemetry
from loom import background
from loom.context import RunContext
from loom.events import Event
from memory.core.protocol import Memory


@dataclass(frozen=True, slots=True)
class Ambient:
    """The context of a run and the layers that its agents share.

    `runtime` is the session of a durable run; with one, every nested step is journaled in it under its path. An
    agent's own memory, tone and workspace win over the ambient ones.

    `parent` is the run that a worker belongs to: budget, permissions, hooks, approvals, audit log and telemetry that
    the worker has none of are the parent's. `around_tools` puts what a team lends around the worker's own tools,
    and `briefing` follows the worker's own instructions.

    `audit_log` and `telemetry` are for the steps of workflows that have none; an agent has its own or its parent's.
    `is_new` says that the run begins here, under an id that nobody has used before.
    """

    context: RunContext
    runtime: Steps | None = None
    memory: Memory | None = None
    emit: Emit | None = None
    streaming: bool = False
    path: str = ""
    response_tone: str | None = None
    workspace: Any | None = None
    audit_log: AuditLog | None = None
    telemetry: Telemetry | None = None
    parent: Dependencies | None = None
    around_tools: Callable[[ToolHost], ToolHost] | None = None
    briefing: str = ""
    is_new: bool = False

    def with_own(self, **layers: Any) -> Ambient:
        """These surroundings with some layers replaced, where they are given: what is nearest counts."""
        own = {name: layer for name, layer in layers.items() if layer is not None}
        return replace(self, **own) if own else self

    def below(self, name: str, **changes: Any) -> Ambient:
        """The surroundings of something nested: its path starts with this one's."""
        return replace(self, path=f"{self.path}{name}/", **changes)


async def stream_events(run: Callable[[Emit], Awaitable[Any]], *, capacity: int = 128) -> AsyncIterator[Event]:
    """The events of a run as they happen, over a bounded buffer: a slow reader slows the run.

    Leaving the iteration early cancels the run and nothing else. What the run raises is shown as an ERROR event and
    then raised here.
    """
    send, receive = anyio.create_memory_object_stream[Event](capacity)
    failure: list[Exception] = []

    async def work() -> None:
        async with send:
            try:
                await run(send.send)
            except Exception as error:
                failure.append(error)
                await send.send(Event.error("", error))

    task = background.start(work)
    try:
        async for event in receive:
            yield event
    finally:
        await task.stop()  # before the buffer is closed: a run that is left is cancelled, it does not fail
        receive.close()
    if failure:
        raise failure[0]
