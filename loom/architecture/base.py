"""What every architecture is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.architectures.base import AgentSession as AgentSession
    from agents.core.architectures.base import Architecture as Architecture
    from agents.core.architectures.base import Dependencies as Dependencies

HOMES = {
    "AgentSession": "agents.core.architectures.base",
    "Architecture": "agents.core.architectures.base",
    "Dependencies": "agents.core.architectures.base",
}

__all__ = [
    "AgentSession",
    "Architecture",
    "Dependencies",
]

__getattr__, __dir__ = door(__name__, HOMES)
