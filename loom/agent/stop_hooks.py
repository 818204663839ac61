"""What may send an agent back to work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.stop_hooks import StopHook as StopHook
    from agents.core.stop_hooks import StopHookResult as StopHookResult

HOMES = {
    "StopHook": "agents.core.stop_hooks",
    "StopHookResult": "agents.core.stop_hooks",
}

__all__ = [
    "StopHook",
    "StopHookResult",
]

__getattr__, __dir__ = door(__name__, HOMES)
