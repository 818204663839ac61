"""The shared words and the ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.llm.base import Model as Model
    from agents.core.result import RunResult as RunResult
    from agents.core.runtime.base import Runtime as Runtime
    from agents.core.runtime.base import RuntimeSession as RuntimeSession
    from agents.core.tools.base import ToolEvent as ToolEvent
    from agents.core.tools.base import ToolHost as ToolHost
    from audit.core.entry import AuditEntry as AuditEntry
    from audit.core.log import AuditLog as AuditLog
    from audit.core.telemetry import Span as Span
    from audit.core.telemetry import Telemetry as Telemetry
    from governance.core.budget import Budget as Budget
    from governance.core.budget import BudgetStatus as BudgetStatus
    from governance.core.certified import CertifiedValue as CertifiedValue
    from governance.core.hooks import HookHost as HookHost
    from governance.core.permissions import PermissionDecision as PermissionDecision
    from governance.core.permissions import Permissions as Permissions
    from governance.core.sandbox.base import Sandbox as Sandbox
    from governance.core.secrets import Secrets as Secrets
    from loom.context import IsolationWarning as IsolationWarning
    from loom.context import LoomDeprecationWarning as LoomDeprecationWarning
    from loom.context import RunContext as RunContext
    from loom.context import get_run_context as get_run_context
    from loom.context import set_run_context as set_run_context
    from loom.errors import AuthenticationError as AuthenticationError
    from loom.errors import BudgetExceeded as BudgetExceeded
    from loom.errors import CancelledByUser as CancelledByUser
    from loom.errors import ConfigError as ConfigError
    from loom.errors import ContentFilterError as ContentFilterError
    from loom.errors import FreshnessError as FreshnessError
    from loom.errors import InvalidRequestError as InvalidRequestError
    from loom.errors import LineageError as LineageError
    from loom.errors import LoomError as LoomError
    from loom.errors import MCPError as MCPError
    from loom.errors import MemoryStoreError as MemoryStoreError
    from loom.errors import ModelError as ModelError
    from loom.errors import OutputValidationError as OutputValidationError
    from loom.errors import PermanentModelError as PermanentModelError
    from loom.errors import PermissionDenied as PermissionDenied
    from loom.errors import RateLimitError as RateLimitError
    from loom.errors import RuntimeJournalError as RuntimeJournalError
    from loom.errors import SandboxError as SandboxError
    from loom.errors import ToolError as ToolError
    from loom.errors import TransientModelError as TransientModelError
    from loom.events import Event as Event
    from loom.events import EventKind as EventKind
    from loom.ids import deterministic_hash as deterministic_hash
    from loom.ids import new_id as new_id
    from loom.legacy import warn_legacy_protocol as warn_legacy_protocol
    from loom.messages import Effort as Effort
    from loom.messages import Message as Message
    from loom.messages import ModelChunk as ModelChunk
    from loom.messages import Role as Role
    from loom.messages import ToolCall as ToolCall
    from loom.messages import ToolDef as ToolDef
    from loom.messages import ToolResult as ToolResult
    from loom.messages import Usage as Usage
    from memory.core.protocol import Embedder as Embedder
    from memory.core.protocol import Memory as Memory
    from memory.core.values import Episode as Episode
    from memory.core.values import EpisodeMatch as EpisodeMatch
    from memory.core.values import Fact as Fact
    from memory.core.values import MemoryBlock as MemoryBlock
    from memory.core.values import MemoryExport as MemoryExport
    from memory.core.values import MemoryProfile as MemoryProfile

HOMES = {
    "AuditEntry": "audit.core.entry",
    "AuditLog": "audit.core.log",
    "AuthenticationError": "loom.errors",
    "Budget": "governance.core.budget",
    "BudgetExceeded": "loom.errors",
    "BudgetStatus": "governance.core.budget",
    "CancelledByUser": "loom.errors",
    "CertifiedValue": "governance.core.certified",
    "ConfigError": "loom.errors",
    "ContentFilterError": "loom.errors",
    "Effort": "loom.messages",
    "Embedder": "memory.core.protocol",
    "Episode": "memory.core.values",
    "EpisodeMatch": "memory.core.values",
    "Event": "loom.events",
    "EventKind": "loom.events",
    "Fact": "memory.core.values",
    "FreshnessError": "loom.errors",
    "HookHost": "governance.core.hooks",
    "InvalidRequestError": "loom.errors",
    "IsolationWarning": "loom.context",
    "LineageError": "loom.errors",
    "LoomDeprecationWarning": "loom.context",
    "LoomError": "loom.errors",
    "MCPError": "loom.errors",
    "Memory": "memory.core.protocol",
    "MemoryBlock": "memory.core.values",
    "MemoryExport": "memory.core.values",
    "MemoryProfile": "memory.core.values",
    "MemoryStoreError": "loom.errors",
    "Message": "loom.messages",
    "Model": "agents.core.llm.base",
    "ModelChunk": "loom.messages",
    "ModelError": "loom.errors",
    "OutputValidationError": "loom.errors",
    "PermanentModelError": "loom.errors",
    "PermissionDecision": "governance.core.permissions",
    "PermissionDenied": "loom.errors",
    "Permissions": "governance.core.permissions",
    "RateLimitError": "loom.errors",
    "Role": "loom.messages",
    "RunContext": "loom.context",
    "RunResult": "agents.core.result",
    "Runtime": "agents.core.runtime.base",
    "RuntimeJournalError": "loom.errors",
    "RuntimeSession": "agents.core.runtime.base",
    "Sandbox": "governance.core.sandbox.base",
    "SandboxError": "loom.errors",
    "Secrets": "governance.core.secrets",
    "Span": "audit.core.telemetry",
    "Telemetry": "audit.core.telemetry",
    "ToolCall": "loom.messages",
    "ToolDef": "loom.messages",
    "ToolError": "loom.errors",
    "ToolEvent": "agents.core.tools.base",
    "ToolHost": "agents.core.tools.base",
    "ToolResult": "loom.messages",
    "TransientModelError": "loom.errors",
    "Usage": "loom.messages",
    "deterministic_hash": "loom.ids",
    "get_run_context": "loom.context",
    "new_id": "loom.ids",
    "set_run_context": "loom.context",
    "warn_legacy_protocol": "loom.legacy",
}

__all__ = [
    "AuditEntry",
    "AuditLog",
    "AuthenticationError",
    "Budget",
    "BudgetExceeded",
    "BudgetStatus",
    "CancelledByUser",
    "CertifiedValue",
    "ConfigError",
    "ContentFilterError",
    "Effort",
    "Embedder",
    "Episode",
    "EpisodeMatch",
    "Event",
    "EventKind",
    "Fact",
    "FreshnessError",
    "HookHost",
    "InvalidRequestError",
    "IsolationWarning",
    "LineageError",
    "LoomDeprecationWarning",
    "LoomError",
    "MCPError",
    "Memory",
    "MemoryBlock",
    "MemoryExport",
    "MemoryProfile",
    "MemoryStoreError",
    "Message",
    "Model",
    "ModelChunk",
    "ModelError",
    "OutputValidationError",
    "PermanentModelError",
    "PermissionDecision",
    "PermissionDenied",
    "Permissions",
    "RateLimitError",
    "Role",
    "RunContext",
    "RunResult",
    "Runtime",
    "RuntimeJournalError",
    "RuntimeSession",
    "Sandbox",
    "SandboxError",
    "Secrets",
    "Span",
    "Telemetry",
    "ToolCall",
    "ToolDef",
    "ToolError",
    "ToolEvent",
    "ToolHost",
    "ToolResult",
    "TransientModelError",
    "Usage",
    "deterministic_hash",
    "get_run_context",
    "new_id",
    "set_run_context",
    "warn_legacy_protocol",
]

__getattr__, __dir__ = door(__name__, HOMES)
