"""Pictures of agents and workflows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.graph import AgentGraph as AgentGraph
    from agents.core.graph import build_graph as build_graph
    from agents.core.graph import write_graph as write_graph

HOMES = {
    "AgentGraph": "agents.core.graph",
    "build_graph": "agents.core.graph",
    "write_graph": "agents.core.graph",
}

__all__ = ["AgentGraph", "build_graph", "write_graph"]

__getattr__, __dir__ = door(__name__, HOMES)
