"""Our names in the words of OpenTelemetry's conventions for generative AI.

Two editions: v1.41, the last one in `semantic-conventions`, which is what backends read today, and v0.1.0 of
`semantic-conventions-genai`, for who sets `OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental`. Each row below
names both; what is in no row keeps its name under `loom.`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from audit.core.telemetry.base import InstrumentKind, kind_of

OPT_IN = "gen_ai_latest_experimental"

Edition = Literal["v1.41", "v0.1.0"]
SpanKind = Literal["client", "internal"]


@dataclass(frozen=True, slots=True)
class SpanForm:
    """A span in the conventions: `{operation} {subject}`, the subject taken from one of our attributes."""

    operation: str
    subject: str
    kind: SpanKind = "internal"


SPANS: Mapping[str, SpanForm] = {
    "loom.run": SpanForm("invoke_agent", "agent"),
    "loom.model.complete": SpanForm("chat", "model", "client"),
    "loom.model.stream": SpanForm("chat", "model", "client"),
    "loom.tool": SpanForm("execute_tool", "tool"),
    "loom.workflow": SpanForm("invoke_workflow", "workflow"),
    "loom.embed": SpanForm("embeddings", "model", "client"),
}

# ours: (v1.41, v0.1.0)
ATTRIBUTES: Mapping[str, tuple[str, str]] = {
    "model": ("gen_ai.request.model", "gen_ai.request.model"),
    "provider": ("gen_ai.provider.name", "gen_ai.provider.name"),
    "agent": ("gen_ai.agent.name", "gen_ai.agent.name"),
    "workflow": ("gen_ai.workflow.name", "gen_ai.agent.name"),
    "session_id": ("gen_ai.conversation.id", "gen_ai.conversation.id"),
    "tool": ("gen_ai.tool.name", "gen_ai.tool.name"),
    "call_id": ("gen_ai.tool.call.id", "gen_ai.tool.call.id"),
    "streaming": ("gen_ai.request.stream", "gen_ai.request.stream"),
    "max_tokens": ("gen_ai.request.max_tokens", "gen_ai.request.max_tokens"),
    "tokens_in": ("gen_ai.usage.input_tokens", "gen_ai.usage.input_tokens"),
    "tokens_out": ("gen_ai.usage.output_tokens", "gen_ai.usage.output_tokens"),
    "cached_tokens_in": ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read.input_tokens"),
    "cache_write_tokens": ("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens"),
    "finish_reason": ("gen_ai.response.finish_reasons", "gen_ai.response.finish_reasons"),
    "error_type": ("error.type", "error.type"),
    "user_id": ("loom.user.id", "loom.user.id"),
    "run_id": ("loom.run.id", "loom.run.id"),
    "tenant_id": ("loom.tenant.id", "loom.tenant.id"),
    "step_id": ("loom.step.id", "loom.step.id"),
    "approval_id": ("loom.approval.id", "loom.approval.id"),
    "agent_version": ("loom.agent_version.hash", "loom.agent_version.hash"),
    "cost_usd": ("loom.cost.usd", "loom.cost.usd"),
    "wait_reason": ("loom.wait.reason", "loom.wait.reason"),
}

_TOKEN_BUCKETS = tuple(4.0**power for power in range(14))
_SECOND_BUCKETS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)


@dataclass(frozen=True, slots=True)
class MetricForm:
    """A metric in the conventions. Our value times `factor` is theirs."""

    name: str
    unit: str
    kind: InstrumentKind
    labels: tuple[tuple[str, str], ...] = ()
    factor: float = 1.0
    buckets: tuple[float, ...] | None = None


def _tokens(direction: str) -> tuple[MetricForm, MetricForm]:
    labels = (("gen_ai.operation.name", "chat"), ("gen_ai.token.type", direction))
    return (
        MetricForm("gen_ai.client.token.usage", "{token}", "histogram", labels, buckets=_TOKEN_BUCKETS),
        MetricForm(f"gen_ai.client.inference.usage.{direction}_tokens", "{token}", "counter", labels[:1]),
    )


def _cached(ours: str, theirs: str) -> tuple[MetricForm, MetricForm]:
    """Part of the input tokens; v1.41 has no metric of it."""
    labels = (("gen_ai.operation.name", "chat"),)
    return (
        MetricForm(ours, "{token}", "counter", labels),
        MetricForm(f"gen_ai.client.inference.usage.{theirs}.input_tokens", "{token}", "counter", labels),
    )


def _seconds(name: str, operation: str) -> MetricForm:
    labels = (("gen_ai.operation.name", operation),)
    return MetricForm(name, "s", "histogram", labels, factor=0.001, buckets=_SECOND_BUCKETS)


# ours: (v1.41, v0.1.0)
METRICS: Mapping[str, tuple[MetricForm, MetricForm]] = {
    "loom.tokens.input": _tokens("input"),
    "loom.tokens.output": _tokens("output"),
    "loom.tokens.cache_read": _cached("loom.tokens.cache_read", "cache_read"),
    "loom.tokens.cache_write": _cached("loom.tokens.cache_write", "cache_write"),
    "loom.model.duration_ms": (
        _seconds("gen_ai.client.operation.duration", "chat"),
        _seconds("gen_ai.client.inference.duration", "chat"),
    ),
    "loom.tool.duration_ms": (
        _seconds("loom.tool.duration", "execute_tool"),
        _seconds("gen_ai.execute_tool.duration", "execute_tool"),
    ),
    "loom.session.duration_ms": (
        _seconds("loom.session.duration", "invoke_agent"),
        _seconds("gen_ai.invoke_agent.duration", "invoke_agent"),
    ),
    "loom.cost.usd": (MetricForm("loom.cost.usd", "USD", "counter"), MetricForm("loom.cost.usd", "USD", "counter")),
}

# How a model's name begins → the provider in the words of the conventions. The first that fits counts.
_PROVIDERS = (
    (("claude", "anthropic"), "anthropic"),
    (("azure/", "azure_ai/"), "azure.ai.openai"),
    (("gpt-", "o1", "o3", "o4", "openai", "chatgpt"), "openai"),
    (("bedrock/",), "aws.bedrock"),
    (("vertex_ai/",), "gcp.vertex_ai"),
    (("gemini",), "gcp.gemini"),
    (("mistral",), "mistral_ai"),
    (("groq/",), "groq"),
    (("deepseek",), "deepseek"),
    (("xai/", "grok"), "x_ai"),
    (("command", "cohere"), "cohere"),
    (("perplexity",), "perplexity"),
)


def edition_of(opt_in: str) -> Edition:
    """The edition that the value of OTEL_SEMCONV_STABILITY_OPT_IN asks for."""
    return "v0.1.0" if OPT_IN in [category.strip() for category in opt_in.split(",")] else "v1.41"


def span_name(name: str, attributes: Mapping[str, Any]) -> str:
    form = SPANS.get(name)
    if form is None:
        return name
    subject = attributes.get(form.subject)
    return f"{form.operation} {subject}" if subject else form.operation


def span_attributes(name: str, attributes: Mapping[str, Any], edition: Edition) -> dict[str, Any]:
    """The attributes of a span under their conventional names, with those that the conventions add."""
    form = SPANS.get(name)
    named = {_attribute(ours, edition): _value(value) for ours, value in attributes.items()}
    if isinstance(reason := attributes.get("finish_reason"), str):
        named[_attribute("finish_reason", edition)] = [reason]
    if form is None:
        return named
    named["gen_ai.operation.name"] = form.operation
    names_provider = form.kind == "client" or (form.operation == "invoke_agent" and edition == "v1.41")
    if names_provider and "model" in attributes:
        named.setdefault("gen_ai.provider.name", provider_of(str(attributes["model"])))
    if form.operation == "execute_tool":
        named.setdefault("gen_ai.tool.type", "function")
    return named


@lru_cache(maxsize=1024)
def metric_form(name: str, edition: Edition) -> MetricForm:
    forms = METRICS.get(name)
    if forms is None:
        unit = {"_ms": "ms", "_seconds": "s", "_bytes": "By"}.get(f"_{name.rpartition('_')[2]}", "1")
        return MetricForm(name, unit, kind_of(name))
    return forms[0] if edition == "v1.41" else forms[1]


def metric_labels(form: MetricForm, attributes: Mapping[str, Any], edition: Edition) -> dict[str, Any]:
    named = {_attribute(ours, edition): _value(value) for ours, value in attributes.items()} | dict(form.labels)
    if "model" in attributes and form.name.startswith("gen_ai.client"):
        named.setdefault("gen_ai.provider.name", provider_of(str(attributes["model"])))
    return named


@lru_cache(maxsize=1024)
def provider_of(model: str) -> str:
    """The provider of a model by its name; of a name that says nothing, what stands before the slash."""
    lowered = model.lower().removeprefix("litellm/")
    for beginnings, provider in _PROVIDERS:
        if lowered.startswith(beginnings):
            return provider
    return lowered.partition("/")[0]


@lru_cache(maxsize=1024)
def _attribute(name: str, edition: Edition) -> str:
    names = ATTRIBUTES.get(name)
    if names is None:
        return name if "." in name else f"loom.{name}"
    return names[0] if edition == "v1.41" else names[1]


def _value(value: Any) -> Any:
    """In a type that OpenTelemetry takes: plain values and lists of texts; the rest as JSON."""
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return list(value)
    return json.dumps(value, ensure_ascii=False)
