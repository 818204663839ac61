"""The hundred providers that LiteLLM knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.llm.litellm import LiteLLMModel as LiteLLMModel

HOMES = {
    "LiteLLMModel": "agents.core.llm.litellm",
}

__all__ = [
    "LiteLLMModel",
]

__getattr__, __dir__ = door(__name__, HOMES)
