"""MCP servers as tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.tools.mcp.client import MCPClient as MCPClient
    from agents.core.tools.mcp.registry import MCPRegistry as MCPRegistry
    from agents.core.tools.mcp.spec import MCPServerSpec as MCPServerSpec

HOMES = {
    "MCPClient": "agents.core.tools.mcp.client",
    "MCPRegistry": "agents.core.tools.mcp.registry",
    "MCPServerSpec": "agents.core.tools.mcp.spec",
}

__all__ = [
    "MCPClient",
    "MCPRegistry",
    "MCPServerSpec",
]

__getattr__, __dir__ = door(__name__, HOMES)
