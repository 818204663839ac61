"""The strategies of agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.architectures.base import AgentSession as AgentSession
    from agents.core.architectures.base import Architecture as Architecture
    from agents.core.architectures.base import Dependencies as Dependencies
    from agents.core.architectures.react import ReAct as ReAct
    from agents.core.architectures.reflexion import Reflexion as Reflexion
    from agents.core.architectures.resolver import resolve_architecture as resolve_architecture
    from agents.core.architectures.self_refine import SelfRefine as SelfRefine
    from agents.core.architectures.tree_of_thoughts import ThoughtNode as ThoughtNode
    from agents.core.architectures.tree_of_thoughts import TreeOfThoughts as TreeOfThoughts

HOMES = {
    "AgentSession": "agents.core.architectures.base",
    "Architecture": "agents.core.architectures.base",
    "Dependencies": "agents.core.architectures.base",
    "ReAct": "agents.core.architectures.react",
    "Reflexion": "agents.core.architectures.reflexion",
    "SelfRefine": "agents.core.architectures.self_refine",
    "ThoughtNode": "agents.core.architectures.tree_of_thoughts",
    "TreeOfThoughts": "agents.core.architectures.tree_of_thoughts",
    "resolve_architecture": "agents.core.architectures.resolver",
}

__all__ = [
    "AgentSession",
    "Architecture",
    "Dependencies",
    "ReAct",
    "Reflexion",
    "SelfRefine",
    "ThoughtNode",
    "TreeOfThoughts",
    "resolve_architecture",
]

__getattr__, __dir__ = door(__name__, HOMES)
