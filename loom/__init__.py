"""Loom's public names: `from loom import Agent, Workflow, tool`. Each loads when it is first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.agent import Agent as Agent
    from agents.core.architectures.base import Architecture as Architecture
    from agents.core.architectures.react import ReAct as ReAct
    from agents.core.llm.base import Model as Model
    from agents.core.llm.echo import EchoModel as EchoModel
    from agents.core.llm.scripted import ScriptedModel as ScriptedModel
    from agents.core.llm.scripted import ScriptedTurn as ScriptedTurn
    from agents.core.plan import LivingPlan as LivingPlan
    from agents.core.plan import LivingPlanStep as LivingPlanStep
    from agents.core.registry import register as register
    from agents.core.result import RunResult as RunResult
    from agents.core.runtime.base import InProcRuntime as InProcRuntime
    from agents.core.runtime.base import Runtime as Runtime
    from agents.core.stop_hooks import StopHook as StopHook
    from agents.core.stop_hooks import StopHookResult as StopHookResult
    from agents.core.tools.base import ToolHost as ToolHost
    from agents.core.tools.tool import Tool as Tool
    from agents.core.tools.tool import tool as tool
    from agents.core.workflow import END as END
    from agents.core.workflow import START as START
    from agents.core.workflow import Workflow as Workflow
    from agents.core.workflow import WorkflowResult as WorkflowResult
    from agents.core.workflow import step as step
    from agents.core.workspace.in_memory import InMemoryWorkspace as InMemoryWorkspace
    from agents.core.workspace.local_disk import LocalDiskWorkspace as LocalDiskWorkspace
    from agents.core.workspace.protocol import Workspace as Workspace
    from agents.core.workspace.resolver import resolve_workspace as resolve_workspace
    from agents.core.workspace.values import Note as Note
    from agents.core.workspace.values import NoteMatch as NoteMatch
    from agents.core.workspace.values import NoteSummary as NoteSummary
    from agents.core.workspace.values import NoteVersion as NoteVersion
    from agents.core.workspace.values import PruneResult as PruneResult
    from agents.core.workspace.values import WorkspaceMembership as WorkspaceMembership
    from audit.core.log import AuditLog as AuditLog
    from audit.core.log import FullTranscriptAuditLog as FullTranscriptAuditLog
    from audit.core.log import InMemoryAuditLog as InMemoryAuditLog
    from audit.core.telemetry import NoTelemetry as NoTelemetry
    from audit.core.telemetry import Telemetry as Telemetry
    from governance.core.budget import Budget as Budget
    from governance.core.budget import BudgetConfig as BudgetConfig
    from governance.core.budget import BudgetStatus as BudgetStatus
    from governance.core.budget import NoBudget as NoBudget
    from governance.core.hooks import HookHost as HookHost
    from governance.core.hooks import HookRegistry as HookRegistry
    from governance.core.permissions import AllowAll as AllowAll
    from governance.core.permissions import Mode as Mode
    from governance.core.permissions import PermissionDecision as PermissionDecision
    from governance.core.permissions import Permissions as Permissions
    from governance.core.permissions import StandardPermissions as StandardPermissions
    from governance.core.sandbox.base import NoSandbox as NoSandbox
    from governance.core.sandbox.base import Sandbox as Sandbox
    from governance.core.secrets import Secrets as Secrets
    from governance.core.standard_budget import StandardBudget as StandardBudget
    from loom.context import IsolationWarning as IsolationWarning
    from loom.context import LoomDeprecationWarning as LoomDeprecationWarning
    from loom.context import RunContext as RunContext
    from loom.context import get_run_context as get_run_context
    from loom.context import set_run_context as set_run_context
    from loom.errors import BudgetExceeded as BudgetExceeded
    from loom.errors import ConfigError as ConfigError
    from loom.errors import LoomError as LoomError
    from loom.errors import OutputValidationError as OutputValidationError
    from loom.events import Event as Event
    from loom.events import EventKind as EventKind
    from loom.ids import new_id as new_id
    from loom.messages import Image as Image
    from loom.messages import Message as Message
    from loom.messages import Role as Role
    from loom.messages import ToolCall as ToolCall
    from loom.messages import ToolDef as ToolDef
    from loom.messages import ToolResult as ToolResult
    from loom.messages import Usage as Usage
    from memory.core.backends.in_memory import InMemoryMemory as InMemoryMemory
    from memory.core.embedders import HashEmbedder as HashEmbedder
    from memory.core.protocol import Embedder as Embedder
    from memory.core.protocol import Memory as Memory
    from memory.core.resolver import resolve_memory as resolve_memory
    from memory.core.values import Episode as Episode
    from memory.core.values import EpisodeMatch as EpisodeMatch
    from memory.core.values import Fact as Fact
    from memory.core.values import MemoryBlock as MemoryBlock
    from memory.core.values import MemoryExport as MemoryExport
    from memory.core.values import MemoryProfile as MemoryProfile

HOMES = {
    "Agent": "agents.core.agent",
    "AllowAll": "governance.core.permissions",
    "Architecture": "agents.core.architectures.base",
    "AuditLog": "audit.core.log",
    "Budget": "governance.core.budget",
    "BudgetConfig": "governance.core.budget",
    "BudgetExceeded": "loom.errors",
    "BudgetStatus": "governance.core.budget",
    "ConfigError": "loom.errors",
    "END": "agents.core.workflow",
    "EchoModel": "agents.core.llm.echo",
    "Embedder": "memory.core.protocol",
    "Episode": "memory.core.values",
    "EpisodeMatch": "memory.core.values",
    "Event": "loom.events",
    "EventKind": "loom.events",
    "Fact": "memory.core.values",
    "FullTranscriptAuditLog": "audit.core.log",
    "HashEmbedder": "memory.core.embedders",
    "HookHost": "governance.core.hooks",
    "HookRegistry": "governance.core.hooks",
    "Image": "loom.messages",
    "InMemoryAuditLog": "audit.core.log",
    "InMemoryMemory": "memory.core.backends.in_memory",
    "InMemoryWorkspace": "agents.core.workspace.in_memory",
    "InProcRuntime": "agents.core.runtime.base",
    "IsolationWarning": "loom.context",
    "LivingPlan": "agents.core.plan",
    "LivingPlanStep": "agents.core.plan",
    "LocalDiskWorkspace": "agents.core.workspace.local_disk",
    "LoomDeprecationWarning": "loom.context",
    "LoomError": "loom.errors",
    "Memory": "memory.core.protocol",
    "MemoryBlock": "memory.core.values",
    "MemoryExport": "memory.core.values",
    "MemoryProfile": "memory.core.values",
    "Message": "loom.messages",
    "Mode": "governance.core.permissions",
    "Model": "agents.core.llm.base",
    "NoBudget": "governance.core.budget",
    "NoSandbox": "governance.core.sandbox.base",
    "NoTelemetry": "audit.core.telemetry",
    "Note": "agents.core.workspace.values",
    "NoteMatch": "agents.core.workspace.values",
    "NoteSummary": "agents.core.workspace.values",
    "NoteVersion": "agents.core.workspace.values",
    "OutputValidationError": "loom.errors",
    "PermissionDecision": "governance.core.permissions",
    "Permissions": "governance.core.permissions",
    "PruneResult": "agents.core.workspace.values",
    "ReAct": "agents.core.architectures.react",
    "Role": "loom.messages",
    "RunContext": "loom.context",
    "RunResult": "agents.core.result",
    "Runtime": "agents.core.runtime.base",
    "START": "agents.core.workflow",
    "Sandbox": "governance.core.sandbox.base",
    "ScriptedModel": "agents.core.llm.scripted",
    "ScriptedTurn": "agents.core.llm.scripted",
    "Secrets": "governance.core.secrets",
    "StandardBudget": "governance.core.standard_budget",
    "StandardPermissions": "governance.core.permissions",
    "StopHook": "agents.core.stop_hooks",
    "StopHookResult": "agents.core.stop_hooks",
    "Telemetry": "audit.core.telemetry",
    "Tool": "agents.core.tools.tool",
    "ToolCall": "loom.messages",
    "ToolDef": "loom.messages",
    "ToolHost": "agents.core.tools.base",
    "ToolResult": "loom.messages",
    "Usage": "loom.messages",
    "Workflow": "agents.core.workflow",
    "WorkflowResult": "agents.core.workflow",
    "Workspace": "agents.core.workspace.protocol",
    "WorkspaceMembership": "agents.core.workspace.values",
    "get_run_context": "loom.context",
    "new_id": "loom.ids",
    "register": "agents.core.registry",
    "resolve_memory": "memory.core.resolver",
    "resolve_workspace": "agents.core.workspace.resolver",
    "set_run_context": "loom.context",
    "step": "agents.core.workflow",
    "tool": "agents.core.tools.tool",
}

__version__ = "0.1.0"
__all__ = [
    "END",
    "START",
    "Agent",
    "AllowAll",
    "Architecture",
    "AuditLog",
    "Budget",
    "BudgetConfig",
    "BudgetExceeded",
    "BudgetStatus",
    "ConfigError",
    "EchoModel",
    "Embedder",
    "Episode",
    "EpisodeMatch",
    "Event",
    "EventKind",
    "Fact",
    "FullTranscriptAuditLog",
    "HashEmbedder",
    "HookHost",
    "HookRegistry",
    "Image",
    "InMemoryAuditLog",
    "InMemoryMemory",
    "InMemoryWorkspace",
    "InProcRuntime",
    "IsolationWarning",
    "LivingPlan",
    "LivingPlanStep",
    "LocalDiskWorkspace",
    "LoomDeprecationWarning",
    "LoomError",
    "Memory",
    "MemoryBlock",
    "MemoryExport",
    "MemoryProfile",
    "Message",
    "Mode",
    "Model",
    "NoBudget",
    "NoSandbox",
    "NoTelemetry",
    "Note",
    "NoteMatch",
    "NoteSummary",
    "NoteVersion",
    "OutputValidationError",
    "PermissionDecision",
    "Permissions",
    "PruneResult",
    "ReAct",
    "Role",
    "RunContext",
    "RunResult",
    "Runtime",
    "Sandbox",
    "ScriptedModel",
    "ScriptedTurn",
    "Secrets",
    "StandardBudget",
    "StandardPermissions",
    "StopHook",
    "StopHookResult",
    "Telemetry",
    "Tool",
    "ToolCall",
    "ToolDef",
    "ToolHost",
    "ToolResult",
    "Usage",
    "Workflow",
    "WorkflowResult",
    "Workspace",
    "WorkspaceMembership",
    "__version__",
    "get_run_context",
    "new_id",
    "register",
    "resolve_memory",
    "resolve_workspace",
    "set_run_context",
    "step",
    "tool",
]

__getattr__, __dir__ = door(__name__, HOMES)
