"""The tools that Loom brings along: files, searching, a shell, the web.

Each function makes a `Tool` for one work directory; `filesystem_tools` makes those that belong together. What a tool
finds wrong with a path or a pattern it answers as `ERROR: …`, for the model to do better.
"""

from __future__ import annotations

from pathlib import Path

from agents.core.tools.beneath import Beneath, PathEscapeError
from agents.core.tools.builtin.files import edit_tool, ls_tool, read_tool, write_tool
from agents.core.tools.builtin.search import find_tool, grep_tool
from agents.core.tools.builtin.shell import bash_tool
from agents.core.tools.builtin.web import web_fetch_tool, web_tool
from agents.core.tools.builtin.workdir import default_workdir, folder
from agents.core.tools.tool import Tool

__all__ = [
    "PathEscapeError",
    "bash_tool",
    "default_workdir",
    "edit_tool",
    "filesystem_tools",
    "find_tool",
    "grep_tool",
    "ls_tool",
    "read_tool",
    "web_fetch_tool",
    "web_tool",
    "write_tool",
]


def filesystem_tools(workdir: Path | str | Beneath | None = None) -> list[Tool]:
    """read, write, edit, grep, find and ls, on one work directory."""
    shared = folder(workdir)
    makers = (read_tool, write_tool, edit_tool, grep_tool, find_tool, ls_tool)
    return [make(shared) for make in makers]
