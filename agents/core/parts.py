"""What the parts of an agent become, from what its constructor takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.core.llm.base import Model
from agents.core.llm.retrying import RetryingModel
from agents.core.tools.base import ToolHost
from agents.core.tools.host import InProcessToolHost
from audit.core.redaction import Redactor
from governance.core.retry import RetryPolicy
from loom.errors import ConfigError, unknown
from loom.messages import PromptCacheConfig

# By name: to know a class, its adapter would have to be imported.
NETWORK_MODELS = frozenset({"OpenAIModel", "AnthropicModel", "LiteLLMModel"})


def redactor_of(secrets: Any | None) -> Redactor | None:
    """What keeps the agent's own secrets out of its audit log and its telemetry; known shapes are masked anyway."""
    return None if secrets is None else Redactor(then=secrets.redact)


def with_retries(model: Model, policy: RetryPolicy | None) -> Model:
    """The model, asked again as the policy says; without one, models behind a network are."""
    if policy is None:
        policy = RetryPolicy() if type(model).__name__ in NETWORK_MODELS else RetryPolicy.disabled()
    if not policy.is_enabled():
        return model
    retrying: Model = RetryingModel(model, policy)
    return retrying


def tool_host_of(tools: Any) -> ToolHost:
    """A host of none, one or several tools and functions, or the host itself. Raises TypeError."""
    if tools is None:
        return InProcessToolHost()
    if isinstance(tools, list):
        return InProcessToolHost(tools)
    if hasattr(tools, "list_tools") and hasattr(tools, "call"):
        host: ToolHost = tools
        return host
    if callable(tools):
        return InProcessToolHost([tools])
    raise TypeError(f"tools is a list of tools and functions, one of them, or a tool host, not {type(tools).__name__}")


def prompt_caching_of(spec: bool | Mapping[str, Any] | None) -> PromptCacheConfig | None:
    """How prompts are cached, of a bool or a mapping. Raises ConfigError."""
    if spec is None or spec is False:
        return None
    if spec is True:
        return PromptCacheConfig(enabled=True)
    keys = PromptCacheConfig.model_fields
    if isinstance(spec, Mapping) and (wrong := [key for key in spec if key not in keys]):
        raise unknown("prompt_caching", wrong[0], keys)
    try:
        return PromptCacheConfig.model_validate({"enabled": True, **dict(spec)}, strict=True)
    except (TypeError, ValueError) as error:
        said = "a bool or {enabled, ttl: '5m'|'1h', cache_key}"
        raise ConfigError(f"prompt_caching is {said}, not {spec!r}") from error
