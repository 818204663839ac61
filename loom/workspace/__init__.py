"""Notes that agents keep and share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.workspace.in_memory import InMemoryWorkspace as InMemoryWorkspace
    from agents.core.workspace.local_disk import LocalDiskWorkspace as LocalDiskWorkspace
    from agents.core.workspace.prompt import workspace_prompt_section as workspace_prompt_section
    from agents.core.workspace.protocol import Workspace as Workspace
    from agents.core.workspace.resolver import resolve_workspace as resolve_workspace
    from agents.core.workspace.tools import make_workspace_tools as make_workspace_tools
    from agents.core.workspace.values import Note as Note
    from agents.core.workspace.values import NoteKind as NoteKind
    from agents.core.workspace.values import NoteMatch as NoteMatch
    from agents.core.workspace.values import NoteSummary as NoteSummary
    from agents.core.workspace.values import NoteVersion as NoteVersion
    from agents.core.workspace.values import PruneResult as PruneResult
    from agents.core.workspace.values import WorkspaceMembership as WorkspaceMembership

HOMES = {
    "InMemoryWorkspace": "agents.core.workspace.in_memory",
    "LocalDiskWorkspace": "agents.core.workspace.local_disk",
    "Note": "agents.core.workspace.values",
    "NoteKind": "agents.core.workspace.values",
    "NoteMatch": "agents.core.workspace.values",
    "NoteSummary": "agents.core.workspace.values",
    "NoteVersion": "agents.core.workspace.values",
    "PruneResult": "agents.core.workspace.values",
    "Workspace": "agents.core.workspace.protocol",
    "WorkspaceMembership": "agents.core.workspace.values",
    "make_workspace_tools": "agents.core.workspace.tools",
    "resolve_workspace": "agents.core.workspace.resolver",
    "workspace_prompt_section": "agents.core.workspace.prompt",
}

__all__ = [
    "InMemoryWorkspace",
    "LocalDiskWorkspace",
    "Note",
    "NoteKind",
    "NoteMatch",
    "NoteSummary",
    "NoteVersion",
    "PruneResult",
    "Workspace",
    "WorkspaceMembership",
    "make_workspace_tools",
    "resolve_workspace",
    "workspace_prompt_section",
]

__getattr__, __dir__ = door(__name__, HOMES)
