"""Several agents as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.architectures.swarm import Handoff as Handoff
    from agents.core.team import Team as Team
    from agents.core.team import run_architecture as run_architecture

HOMES = {
    "Handoff": "agents.core.architectures.swarm",
    "Team": "agents.core.team",
    "run_architecture": "agents.core.team",
}

__all__ = [
    "Handoff",
    "Team",
    "run_architecture",
]

__getattr__, __dir__ = door(__name__, HOMES)
