"""Workflows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.workflow import END as END
    from agents.core.workflow import START as START
    from agents.core.workflow import Workflow as Workflow
    from agents.core.workflow import WorkflowResult as WorkflowResult
    from agents.core.workflow import sleep as sleep
    from agents.core.workflow import step as step

HOMES = {
    "END": "agents.core.workflow",
    "START": "agents.core.workflow",
    "Workflow": "agents.core.workflow",
    "WorkflowResult": "agents.core.workflow",
    "sleep": "agents.core.workflow",
    "step": "agents.core.workflow",
}

__all__ = [
    "END",
    "START",
    "Workflow",
    "WorkflowResult",
    "sleep",
    "step",
]

__getattr__, __dir__ = door(__name__, HOMES)
