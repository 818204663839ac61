"""OpenAI's models, and everything that speaks its protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.llm.openai import OpenAIModel as OpenAIModel

HOMES = {
    "OpenAIModel": "agents.core.llm.openai",
}

__all__ = [
    "OpenAIModel",
]

__getattr__, __dir__ = door(__name__, HOMES)
