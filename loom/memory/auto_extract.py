"""Memory that reads facts out of each episode at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.auto_extract import AutoExtractMemory as AutoExtractMemory

HOMES = {
    "AutoExtractMemory": "memory.core.auto_extract",
}

__all__ = [
    "AutoExtractMemory",
]

__getattr__, __dir__ = door(__name__, HOMES)
