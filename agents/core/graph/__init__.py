"""Pictures of agents and workflows with everything that is nested in them. Start with `writing.build_graph`."""

from agents.core.graph.values import AgentGraph, Edge, Node, Subgraph
from agents.core.graph.writing import build_graph, write_graph

__all__ = ["AgentGraph", "Edge", "Node", "Subgraph", "build_graph", "write_graph"]
