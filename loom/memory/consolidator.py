"""Facts read out of episodes by a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.consolidator import DEFAULT_SYSTEM_PROMPT as DEFAULT_SYSTEM_PROMPT
    from memory.core.consolidator import Consolidator as Consolidator

HOMES = {
    "Consolidator": "memory.core.consolidator",
    "DEFAULT_SYSTEM_PROMPT": "memory.core.consolidator",
}

__all__ = [
    "DEFAULT_SYSTEM_PROMPT",
    "Consolidator",
]

__getattr__, __dir__ = door(__name__, HOMES)
