"""A model that answers from a script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.llm.scripted import ScriptedModel as ScriptedModel
    from agents.core.llm.scripted import ScriptedTurn as ScriptedTurn

HOMES = {
    "ScriptedModel": "agents.core.llm.scripted",
    "ScriptedTurn": "agents.core.llm.scripted",
}

__all__ = [
    "ScriptedModel",
    "ScriptedTurn",
]

__getattr__, __dir__ = door(__name__, HOMES)
