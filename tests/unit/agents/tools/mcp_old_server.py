"""An MCP server of the handshake era (2025-11-25) over stdio, written out: it knows no `server/discover`."""

from __future__ import annotations

import json
import sys
from typing import Any

tools = ["learn"]


def tell(**message: Any) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    if method == "initialize":
        return {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {"listChanged": True}},
            "serverInfo": {"name": "old", "version": "1"},
        }
    if method == "tools/list":
        return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in tools]}
    if method == "tools/call":
        if params["name"] == "learn":
            tools.append("trick")
            tell(method="notifications/tools/list_changed")
        return {"content": [{"type": "text", "text": f"did {params['name']}"}]}
    return None


for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request:
        continue
    result = answer(request["method"], request.get("params") or {})
    if result is None:
        tell(id=request["id"], error={"code": -32601, "message": "Method not found"})
    else:
        tell(id=request["id"], result=result)
