"""Everything that Loom refuses or fails with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.llm.effort import EffortNotSupportedError as EffortNotSupportedError
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

HOMES = {
    "AuthenticationError": "loom.errors",
    "BudgetExceeded": "loom.errors",
    "CancelledByUser": "loom.errors",
    "ConfigError": "loom.errors",
    "ContentFilterError": "loom.errors",
    "EffortNotSupportedError": "agents.core.llm.effort",
    "FreshnessError": "loom.errors",
    "InvalidRequestError": "loom.errors",
    "LineageError": "loom.errors",
    "LoomError": "loom.errors",
    "MCPError": "loom.errors",
    "MemoryStoreError": "loom.errors",
    "ModelError": "loom.errors",
    "OutputValidationError": "loom.errors",
    "PermanentModelError": "loom.errors",
    "PermissionDenied": "loom.errors",
    "RateLimitError": "loom.errors",
    "RuntimeJournalError": "loom.errors",
    "SandboxError": "loom.errors",
    "ToolError": "loom.errors",
    "TransientModelError": "loom.errors",
}

__all__ = [
    "AuthenticationError",
    "BudgetExceeded",
    "CancelledByUser",
    "ConfigError",
    "ContentFilterError",
    "EffortNotSupportedError",
    "FreshnessError",
    "InvalidRequestError",
    "LineageError",
    "LoomError",
    "MCPError",
    "MemoryStoreError",
    "ModelError",
    "OutputValidationError",
    "PermanentModelError",
    "PermissionDenied",
    "RateLimitError",
    "RuntimeJournalError",
    "SandboxError",
    "ToolError",
    "TransientModelError",
]

__getattr__, __dir__ = door(__name__, HOMES)
