"""An MCP server of the handshake era (2025-11-25) over stdio, written out: it knows no `server/discover`.

It starts in no time, so it also serves the tests that care about the process and not about the protocol.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

HINTS = {"mark": {"idempotentHint": True}}

tools = ["learn", "add", "process", "environment", "sleep", "pay", "mark"]


def tell(**message: Any) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    if method == "initialize":
        return {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {"listChanged": True}},
            "serverInfo": {"name": "plain", "version": "1"},
        }
    if method == "tools/list":
        return {"tools": [describe(name) for name in tools]}
    if method == "tools/call":
        done = call(params["name"], params.get("arguments") or {})
        if isinstance(done, dict):
            return {"content": [], "structuredContent": done}
        return {"content": [{"type": "text", "text": done}]}
    return None


def describe(name: str) -> dict[str, Any]:
    return {"name": name, "inputSchema": {"type": "object"}, "annotations": HINTS.get(name, {})}


def call(name: str, args: dict[str, Any]) -> str | dict[str, Any]:
    if name == "learn":
        tools.append("trick")
        tell(method="notifications/tools/list_changed")
    elif name == "add":
        return {"result": args["a"] + args["b"]}
    elif name == "process":
        return str(os.getpid())
    elif name == "environment":
        return dict(os.environ)
    elif name == "sleep":
        time.sleep(args["seconds"])
    elif name in ("pay", "mark"):
        write_and_die_once(Path(args["ledger"]))
    return f"did {name}"


def write_and_die_once(ledger: Path) -> None:
    with ledger.open("a") as lines:
        lines.write("done\n")
    if len(ledger.read_text().splitlines()) == 1:
        os._exit(3)


for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request:
        continue
    result = answer(request["method"], request.get("params") or {})
    if result is None:
        tell(id=request["id"], error={"code": -32601, "message": "Method not found"})
    else:
        tell(id=request["id"], result=result)
