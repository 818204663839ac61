"""Language models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.llm.anthropic import AnthropicModel as AnthropicModel
    from agents.core.llm.echo import EchoModel as EchoModel
    from agents.core.llm.fallback import Fallback as Fallback
    from agents.core.llm.litellm import LiteLLMModel as LiteLLMModel
    from agents.core.llm.local import LocalModel as LocalModel
    from agents.core.llm.openai import OpenAIModel as OpenAIModel
    from agents.core.llm.retrying import RetryingModel as RetryingModel
    from agents.core.llm.scripted import ScriptedModel as ScriptedModel
    from agents.core.llm.scripted import ScriptedTurn as ScriptedTurn

HOMES = {
    "AnthropicModel": "agents.core.llm.anthropic",
    "EchoModel": "agents.core.llm.echo",
    "Fallback": "agents.core.llm.fallback",
    "LiteLLMModel": "agents.core.llm.litellm",
    "LocalModel": "agents.core.llm.local",
    "OpenAIModel": "agents.core.llm.openai",
    "RetryingModel": "agents.core.llm.retrying",
    "ScriptedModel": "agents.core.llm.scripted",
    "ScriptedTurn": "agents.core.llm.scripted",
}

__all__ = [
    "AnthropicModel",
    "EchoModel",
    "Fallback",
    "LiteLLMModel",
    "LocalModel",
    "OpenAIModel",
    "RetryingModel",
    "ScriptedModel",
    "ScriptedTurn",
]

__getattr__, __dir__ = door(__name__, HOMES)
