"""Workflows: what a developer draws, as the peer of what a model decides. Start with `graph.Workflow`."""

from agents.core.workflow.graph import Workflow
from agents.core.workflow.nodes import END, START, StepLike, sleep, step
from agents.core.workflow.run import WorkflowResult

__all__ = ["END", "START", "StepLike", "Workflow", "WorkflowResult", "sleep", "step"]
