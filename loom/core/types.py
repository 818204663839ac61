"""What is said, remembered and decided: the values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.result import RunResult as RunResult
    from agents.core.tools.base import ToolEvent as ToolEvent
    from audit.core.entry import AuditEntry as AuditEntry
    from audit.core.telemetry import Span as Span
    from governance.core.budget import BudgetStatus as BudgetStatus
    from governance.core.certified import CertifiedValue as CertifiedValue
    from governance.core.permissions import PermissionDecision as PermissionDecision
    from loom.events import Event as Event
    from loom.events import EventKind as EventKind
    from loom.messages import Effort as Effort
    from loom.messages import Image as Image
    from loom.messages import Message as Message
    from loom.messages import ModelChunk as ModelChunk
    from loom.messages import PromptCacheConfig as PromptCacheConfig
    from loom.messages import Role as Role
    from loom.messages import ToolCall as ToolCall
    from loom.messages import ToolDef as ToolDef
    from loom.messages import ToolResult as ToolResult
    from loom.messages import Usage as Usage
    from memory.core.values import Episode as Episode
    from memory.core.values import EpisodeMatch as EpisodeMatch
    from memory.core.values import Fact as Fact
    from memory.core.values import MemoryBlock as MemoryBlock
    from memory.core.values import MemoryExport as MemoryExport
    from memory.core.values import MemoryProfile as MemoryProfile

HOMES = {
    "AuditEntry": "audit.core.entry",
    "BudgetStatus": "governance.core.budget",
    "CertifiedValue": "governance.core.certified",
    "Effort": "loom.messages",
    "Episode": "memory.core.values",
    "EpisodeMatch": "memory.core.values",
    "Event": "loom.events",
    "EventKind": "loom.events",
    "Fact": "memory.core.values",
    "Image": "loom.messages",
    "MemoryBlock": "memory.core.values",
    "MemoryExport": "memory.core.values",
    "MemoryProfile": "memory.core.values",
    "Message": "loom.messages",
    "ModelChunk": "loom.messages",
    "PermissionDecision": "governance.core.permissions",
    "PromptCacheConfig": "loom.messages",
    "Role": "loom.messages",
    "RunResult": "agents.core.result",
    "Span": "audit.core.telemetry",
    "ToolCall": "loom.messages",
    "ToolDef": "loom.messages",
    "ToolEvent": "agents.core.tools.base",
    "ToolResult": "loom.messages",
    "Usage": "loom.messages",
}

__all__ = [
    "AuditEntry",
    "BudgetStatus",
    "CertifiedValue",
    "Effort",
    "Episode",
    "EpisodeMatch",
    "Event",
    "EventKind",
    "Fact",
    "Image",
    "MemoryBlock",
    "MemoryExport",
    "MemoryProfile",
    "Message",
    "ModelChunk",
    "PermissionDecision",
    "PromptCacheConfig",
    "Role",
    "RunResult",
    "Span",
    "ToolCall",
    "ToolDef",
    "ToolEvent",
    "ToolResult",
    "Usage",
]

__getattr__, __dir__ = door(__name__, HOMES)
