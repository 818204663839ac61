"""The ports: what an agent may be given something of your own for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.llm.base import Model as Model
    from agents.core.runtime.base import Runtime as Runtime
    from agents.core.runtime.base import RuntimeSession as RuntimeSession
    from agents.core.tools.base import ToolHost as ToolHost
    from audit.core.log import AuditLog as AuditLog
    from audit.core.telemetry import Telemetry as Telemetry
    from governance.core.budget import Budget as Budget
    from governance.core.hooks import HookHost as HookHost
    from governance.core.permissions import Permissions as Permissions
    from governance.core.sandbox.base import Sandbox as Sandbox
    from governance.core.secrets import Secrets as Secrets
    from memory.core.protocol import Embedder as Embedder
    from memory.core.protocol import Memory as Memory

HOMES = {
    "AuditLog": "audit.core.log",
    "Budget": "governance.core.budget",
    "Embedder": "memory.core.protocol",
    "HookHost": "governance.core.hooks",
    "Memory": "memory.core.protocol",
    "Model": "agents.core.llm.base",
    "Permissions": "governance.core.permissions",
    "Runtime": "agents.core.runtime.base",
    "RuntimeSession": "agents.core.runtime.base",
    "Sandbox": "governance.core.sandbox.base",
    "Secrets": "governance.core.secrets",
    "Telemetry": "audit.core.telemetry",
    "ToolHost": "agents.core.tools.base",
}

__all__ = [
    "AuditLog",
    "Budget",
    "Embedder",
    "HookHost",
    "Memory",
    "Model",
    "Permissions",
    "Runtime",
    "RuntimeSession",
    "Sandbox",
    "Secrets",
    "Telemetry",
    "ToolHost",
]

__getattr__, __dir__ = door(__name__, HOMES)
