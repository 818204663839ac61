"""Decorated tools that a fresh process can import."""

from __future__ import annotations

from typing import Any

from agents.core.tools.tool import tool


@tool
def decorated(n: int) -> int:
    """A decorated function."""
    return n + 1


@tool
async def waiting(n: int) -> dict[str, Any]:
    """An async function."""
    return {"n": n, "set": {n}}
