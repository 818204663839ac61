"""The agent: instructions, a model and a strategy, with as much around them as is wired up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from agents.core import tone
from agents.core.ambient import Ambient, stream_events
from agents.core.architectures.base import AgentSession, Architecture, Dependencies, Emit
from agents.core.architectures.resolver import resolve_architecture
from agents.core.llm.base import Model
from agents.core.llm.resolver import resolve_model
from agents.core.result import RunResult
from agents.core.runtime.base import InProcRuntime, Runtime
from agents.core.stop_hooks import StopHook
from agents.core.tools.base import ToolHost
from agents.core.tools.host import InProcessToolHost
from agents.core.tools.tool import Tool
from audit.core.log import AuditLog, resolve_audit_log
from audit.core.telemetry import NoTelemetry, Telemetry, resolve_telemetry
from governance.core.budget import Budget, NoBudget
from governance.core.gate import StandardGate
from governance.core.hooks import HookRegistry, PostToolHook, PreToolHook
from governance.core.permissions import AllowAll, Permissions
from governance.core.retry import RetryPolicy
from loom.context import RunContext, set_run_context
from loom.errors import ConfigError
from loom.events import Event
from loom.ids import new_id
from loom.messages import utcnow
from memory.core.protocol import Memory
from memory.core.resolver import resolve_memory
