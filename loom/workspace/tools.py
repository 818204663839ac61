"""What agents do with notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.workspace.prompt import workspace_prompt_section as workspace_prompt_section
    from agents.core.workspace.tools import make_workspace_tools as make_workspace_tools

HOMES = {
    "make_workspace_tools": "agents.core.workspace.tools",
    "workspace_prompt_section": "agents.core.workspace.prompt",
}

__all__ = [
    "make_workspace_tools",
    "workspace_prompt_section",
]

__getattr__, __dir__ = door(__name__, HOMES)
