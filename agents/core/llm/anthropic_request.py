"""How a conversation is put to Anthropic's Messages API."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agents.core.llm.effort import refuse_effort
from agents.core.llm.names import wire_name
from agents.core.llm.schemas import schema_of
from loom.ids import canonical
from loom.messages import Image, Message, PromptCacheConfig, Role, ToolDef

Block = dict[str, Any]

_SCHEMA_IN_WORDS = "Answer with one JSON value that fits this JSON Schema, and nothing else:\n"


def build_request(
    model: str,
    messages: Sequence[Message],
    *,
    default_max_tokens: int,
    tools: Sequence[ToolDef] | None = None,
    temperature: float = 1.0,
    max_tokens: int | None = None,
    output_schema: Any | None = None,
    effort: str | None = None,
    strict_effort: bool = False,
    prompt_caching: Any = None,
) -> dict[str, Any]:
    """The keyword arguments of `messages.create`."""
    traits = traits_of(model)
    request: dict[str, Any] = {
        "model": model,
        "max_tokens": max_tokens or default_max_tokens,
        "messages": turns_of(messages),
    }
    system = [message.content for message in messages if message.role is Role.SYSTEM and message.content.strip()]
    if output_schema is not None:
        system += _ask_for(output_schema, request, traits)
    marker = _cache_marker(prompt_caching)
    if system:
        request["system"] = _system(system, marker)
    if tools:
        request["tools"] = _tools(tools, marker)
    if effort is not None:
        in_tool_loop = bool(messages) and messages[-1].role is Role.TOOL
        request |= _effort(
            request, traits, effort, strict=strict_effort, open_ended=not max_tokens, paused=in_tool_loop
        )
    if temperature != 1.0 and traits.has_temperature and "thinking" not in request:
        # The SDK names no sampling parameters any more; older models still take them.
        request["extra_body"] = {"temperature": temperature}
    return request


# -- what a model can do

_NAME = re.compile(r"claude-(?:(?P<old>\d)(?:[-.](?P<old_minor>\d))?-)?(?P<family>[a-z]+)(?P<rest>.*)")
_NUMBERS = re.compile(r"-(\d{1,2})(?:[-.](\d{1,2}))?(?![\d.])")
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 4096, "high": 8192, "xhigh": 16384, "max": 32768}
_LEAST_BUDGET = 1024


@dataclass(frozen=True, slots=True)
class Traits:
    """How a model differs from the newest ones. A name that tells nothing is taken for a model of today."""

    model: str
    efforts: dict[str, str] | None  # effort → what the model calls it; None when it thinks by budget or not at all
    has_budget: bool = False
    has_temperature: bool = False
    has_schema: bool = True
    longest_output: int = 64_000


def traits_of(model: str) -> Traits:
    family, version = _family_and_version(model)
    if version is None or version >= (4, 7):
        return Traits(model, efforts={name: "low" if name == "minimal" else name for name in _BUDGETS})
    if version == (4, 6):
        clamped = {"minimal": "low", "low": "low", "medium": "medium"}
        return Traits(model, efforts={name: clamped.get(name, "high") for name in _BUDGETS}, has_temperature=True)
    return Traits(
        model,
        efforts=None,
        has_budget=version >= (4, 0) or (family == "sonnet" and version == (3, 7)),
        has_temperature=True,
        has_schema=version >= (4, 5) or (family == "opus" and version == (4, 1)),
        longest_output=32_000 if family == "opus" and version < (4, 5) else 64_000,
    )


def _family_and_version(model: str) -> tuple[str, tuple[int, int] | None]:
    """`claude-opus-4-7-20260416` → opus, (4, 7); `claude-3-5-haiku-latest` → haiku, (3, 5)."""
    found = _NAME.search(model.lower())
    if found is None:
        old = re.search(r"claude-(?:v|instant-)?(\d)", model.lower())
        return "", (int(old.group(1)), 0) if old else None
    if found["old"]:
        return found["family"], (int(found["old"]), int(found["old_minor"] or 0))
    numbers = _NUMBERS.match(found["rest"])
    if numbers is None:
        return found["family"], (2, 0) if found["family"] == "instant" else None
    return found["family"], (int(numbers[1]), int(numbers[2] or 0))


# -- the conversation


def turns_of(messages: Sequence[Message]) -> list[Block]:
    """The turns. System messages are not among them; tool results that follow one another are one user turn."""
    turns: list[Block] = []
    results: list[Block] = []
    for message in messages:
        if message.role is Role.TOOL:
            if not results:
                turns.append({"role": "user", "content": results})
            results.append(_tool_result(message))
            continue
        results = []
        content = _content(message)
        if message.role is not Role.SYSTEM and content:
            turns.append({"role": message.role.value, "content": content})
    return turns


def _content(message: Message) -> str | list[Block]:
    # The API refuses empty text, so a block without any is left out.
    text: list[Block] = [{"type": "text", "text": message.content}] if message.content.strip() else []
    calls: list[Block] = [
        {"type": "tool_use", "id": wire_name(call.id), "name": wire_name(call.tool), "input": call.args}
        for call in message.tool_calls
    ]
    if text and not calls and not message.images:
        return message.content
    return [_image(image) for image in message.images] + text + calls


def _tool_result(message: Message) -> Block:
    text: list[Block] = [{"type": "text", "text": message.content}] if message.content.strip() else []
    images = [_image(image) for image in message.images]
    result: Block = {"type": "tool_result", "tool_use_id": wire_name(message.tool_call_id or "")}
    return result | {"content": text + images if images else message.content}


def _image(image: Image) -> Block:
    if image.url is not None:
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    return {"type": "image", "source": {"type": "base64", "media_type": image.media_type, "data": image.data or ""}}


# -- system, tools, cache


def cache_config(prompt_caching: Any) -> PromptCacheConfig:
    """What the caller means: a config, its fields, or just yes or no."""
    if isinstance(prompt_caching, PromptCacheConfig):
        return prompt_caching
    if isinstance(prompt_caching, bool) or prompt_caching is None:
        return PromptCacheConfig(enabled=bool(prompt_caching))
    return PromptCacheConfig.model_validate({"enabled": True, **prompt_caching})


def _cache_marker(prompt_caching: Any) -> Block:
    config = cache_config(prompt_caching)
    if not config.enabled:
        return {}
    hour = {"ttl": "1h"} if config.ttl == "1h" else {}
    return {"cache_control": {"type": "ephemeral", **hour}}


def _system(parts: list[str], marker: Block) -> str | list[Block]:
    text = "\n\n".join(parts)
    return [{"type": "text", "text": text, **marker}] if marker else text


def _tools(tools: Sequence[ToolDef], marker: Block) -> list[Block]:
    listed = [
        {
            "name": wire_name(tool.name),
            "description": tool.description,
            "input_schema": {"type": "object", "properties": {}, **tool.input_schema},
        }
        for tool in tools
    ]
    listed[-1] |= marker  # what stands before the marker is cached: all tools
    return listed


# -- structured output


def _ask_for(output_schema: Any, request: dict[str, Any], traits: Traits) -> list[str]:
    """Ask for an answer that fits: by the API where it can hold the model to the schema, else in words.

    The model stays free to call tools first: the schema is one of the answer, not a tool that must be called.
    """
    from anthropic import transform_schema  # slow to import: only when a model is really called

    schema = schema_of(output_schema)
    if not (traits.has_schema and _can_be_enforced(schema, schema)):
        return [_SCHEMA_IN_WORDS + canonical(schema)]
    request["output_config"] = {"format": {"type": "json_schema", "schema": transform_schema(schema)}}
    return []


def _can_be_enforced(node: Any, root: Any, path: tuple[str, ...] = ()) -> bool:
    """Whether the API's subset of JSON Schema can say it: no open objects, no values of any kind, no recursion."""
    if not isinstance(node, dict):
        return False
    ref = node.get("$ref")
    if ref is not None:
        name = str(ref).removeprefix("#/$defs/")
        return name not in path and _can_be_enforced(root.get("$defs", {}).get(name), root, (*path, name))
    if "enum" in node or "const" in node:
        return True
    if node.get("type") == "object" and (not node.get("properties") or node.get("additionalProperties")):
        return node.get("additionalProperties") is False
    parts = list(_parts(node))
    has_kind = "type" in node or any(key in node for key in ("anyOf", "oneOf", "allOf"))
    return has_kind and all(_can_be_enforced(part, root, path) for part in parts)


def _parts(node: Block) -> Iterator[Any]:
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        yield from node.get(key, ())
    yield from node.get("properties", {}).values()
    if node.get("type") == "array":
        yield node.get("items")


# -- effort


def _effort(
    request: dict[str, Any], traits: Traits, effort: str, *, strict: bool, open_ended: bool, paused: bool
) -> dict[str, Any]:
    if traits.efforts is not None and effort in traits.efforts:
        output_config = {**request.get("output_config", {}), "effort": traits.efforts[effort]}
        return {"thinking": {"type": "adaptive"}, "output_config": output_config}
    if not traits.has_budget or effort not in _BUDGETS:
        refuse_effort(traits.model, effort, strict=strict)
        return {}
    if paused:
        # Thinking by budget cannot be taken up again in the middle of a turn without the earlier thoughts.
        return {}
    return _thinking_by_budget(request["max_tokens"], traits, effort, strict=strict, open_ended=open_ended)


def _thinking_by_budget(
    max_tokens: int, traits: Traits, effort: str, *, strict: bool, open_ended: bool
) -> dict[str, Any]:
    """Thoughts count as output: they come on top of the default limit, but stay within one that the caller set."""
    budget = _BUDGETS[effort]
    if open_ended:
        budget = min(budget, traits.longest_output - max_tokens)
        max_tokens += budget
    else:
        budget = min(budget, max_tokens // 2)
    if budget < _LEAST_BUDGET:
        refuse_effort(traits.model, effort, strict=strict, reason=f"max_tokens={max_tokens} leaves no room to think")
        return {}
    return {"thinking": {"type": "enabled", "budget_tokens": budget}, "max_tokens": max_tokens}
