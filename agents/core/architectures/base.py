"""What an architecture is: a strategy for getting from a prompt to an answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from agents.core.context_policy import DEFAULT_POLICY, ContextPolicy
from agents.core.llm.base import Model
from agents.core.llm.tokens import Tally
from agents.core.runtime.base import Steps
from agents.core.tools.base import ToolHost
from audit.core.log import AuditLog
from audit.core.telemetry import Telemetry
from governance.core.budget import Budget
from governance.core.gate import Gate
from governance.core.hooks import HookRegistry
from governance.core.permissions import Permissions
from loom.context import RunContext
from loom.events import Event
from loom.messages import NO_USAGE, Message, Usage
from memory.core.protocol import Memory

if TYPE_CHECKING:
    from agents.core.agent import Agent
    from agents.core.kit import Desk

Emit = Callable[[Event], Awaitable[None]]


@dataclass
class AgentSession:
    """The state of one run of one agent. An architecture works on it and leaves the answer in `output`."""

    id: str
    instructions: str
    messages: list[Message] = field(default_factory=list)
    turns: int = 0
    output: str = ""
    cumulative_usage: Usage = NO_USAGE
    interrupted: bool = False
    interruption_reason: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally, repr=False, compare=False)

    def interrupt(self, reason: str) -> None:
        self.interrupted, self.interruption_reason = True, reason


@dataclass
class Dependencies:
    """What one run works with. The `fast_*` flags say which layers are no-ops, decided once, so the loop skips them.

    `gate` is the one question before each model and tool call; it is built from permissions, hooks, budget and
    approvals, which are here for strategies that want to show them, not to be asked. `path` is where this run stands
    among nested workers: it starts every step key and every event's `worker`.
    """

    model: Model
    memory: Memory
    runtime: Steps
    tools: ToolHost
    budget: Budget
    permissions: Permissions
    hooks: HookRegistry
    telemetry: Telemetry
    audit_log: AuditLog | None
    max_turns: int
    gate: Gate
    approval_handler: Any | None = None
    output_schema: Any | None = None
    effort: str | None = None
    strict_effort: bool = False
    prompt_caching: Any = None
    streaming: bool = False
    fast_audit: bool = True
    fast_telemetry: bool = True
    fast_permissions: bool = True
    fast_hooks: bool = True
    fast_runtime: bool = True
    fast_budget: bool = True
    fast_stop_hooks: bool = True
    fast_gate: bool = True
    context: RunContext = field(default_factory=RunContext)
    emit: Emit | None = None
    path: str = ""
    desk: Desk | None = None
    response_tone: str | None = None
    workspace: Any | None = None
    context_policy: ContextPolicy = DEFAULT_POLICY


@runtime_checkable
class Architecture(Protocol):
    """A strategy. It calls models and tools only through `agents.core.loop`, so gate, journal and telemetry see all.

    `run` yields the events that are its own; those of models and tools are emitted by the loop.
    """

    name: str

    def run(self, session: AgentSession, deps: Dependencies, prompt: str) -> AsyncIterator[Event]: ...

    def declared_workers(self) -> Mapping[str, Agent]: ...
