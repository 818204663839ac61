"""How an MCP server is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.tools.mcp.spec import MCPServerSpec as MCPServerSpec

HOMES = {
    "MCPServerSpec": "agents.core.tools.mcp.spec",
}

__all__ = [
    "MCPServerSpec",
]

__getattr__, __dir__ = door(__name__, HOMES)
