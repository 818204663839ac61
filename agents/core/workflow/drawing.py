"""Workflows as pictures: Mermaid and DOT text, with the agents and workflows that are nested in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.core.graph.drafting import Draft

if TYPE_CHECKING:
    from agents.core.graph.values import AgentGraph
    from agents.core.workflow.graph import Workflow


def mermaid(workflow: Workflow) -> str:
    """A Mermaid flowchart, top down."""
    return _drawn(workflow).to_mermaid(direction="TD")


def dot(workflow: Workflow) -> str:
    """A Graphviz digraph."""
    return _drawn(workflow).to_dot()


def _drawn(workflow: Workflow) -> AgentGraph:
    draft = Draft()
    draft.workflow(workflow, draft.root)
    return draft.graph(workflow.name)
