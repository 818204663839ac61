"""Anthropic's models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.llm.anthropic import AnthropicModel as AnthropicModel

HOMES = {
    "AnthropicModel": "agents.core.llm.anthropic",
}

__all__ = [
    "AnthropicModel",
]

__getattr__, __dir__ = door(__name__, HOMES)
