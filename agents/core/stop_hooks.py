"""What may send an agent back to work when it thinks that it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from agents.core.architectures.base import AgentSession, Dependencies


@dataclass(frozen=True, slots=True)
class StopHookResult:
    """Go on: the agent gets `inject_message` as its next prompt. `reason` is for the events of the run."""

    inject_message: str
    reason: str = ""


@runtime_checkable
class StopHook(Protocol):
    """Asked when the agent ends; None lets it end. `iteration` counts from 1 how often it was sent back."""

    name: str

    async def __call__(self, session: AgentSession, deps: Dependencies, *, iteration: int) -> StopHookResult | None: ...
