"""A model that says what it hears."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.llm.echo import EchoModel as EchoModel

HOMES = {
    "EchoModel": "agents.core.llm.echo",
}

__all__ = [
    "EchoModel",
]

__getattr__, __dir__ = door(__name__, HOMES)
