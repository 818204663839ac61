"""How a conversation is put to a chat-completions API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from agents.core.llm.effort import refuse_effort
from agents.core.llm.names import wire_name
from agents.core.llm.schemas import Schema, schema_name, schema_of, strict_schema
from loom.ids import canonical
from loom.messages import Image, Message, PromptCacheConfig, Role, ToolCall, ToolDef

Block = dict[str, Any]

_REASONING = re.compile(r"(o\d|gpt-[5-9])(?!.*chat)")
_O_SERIES = re.compile(r"o\d")
_EFFORTS = {"xhigh": "high", "max": "high"}
_SCHEMA_IN_WORDS = "Answer with one JSON value that fits this JSON Schema, and nothing else:\n"


def build_request(
    model: str,
    messages: Sequence[Message],
    *,
    tools: Sequence[ToolDef] | None = None,
    temperature: float = 1.0,
    max_tokens: int | None = None,
    output_schema: Any | None = None,
    effort: str | None = None,
    strict_effort: bool = False,
    prompt_caching: Any = None,
    has_effort: bool | None = None,
) -> Block:
    """The keyword arguments of `chat.completions.create`. `has_effort` overrules what the model's name tells."""
    reasons = is_reasoning(model)
    request: Block = {"model": model, "messages": list(_turns(messages))}
    if tools:
        request["tools"] = [_tool(tool) for tool in tools]
    if temperature != 1.0 and not reasons:  # reasoning models refuse any other
        request["temperature"] = temperature
    if max_tokens:
        request["max_completion_tokens" if reasons else "max_tokens"] = max_tokens
    if output_schema is not None:
        _ask_for(output_schema, request)
    if effort is not None:
        if reasons if has_effort is None else has_effort:
            request["reasoning_effort"] = _effort(model, effort)
        else:
            refuse_effort(model, effort, strict=strict_effort)
    if key := _cache_key(prompt_caching):
        request["prompt_cache_key"] = key
    return request


def is_reasoning(model: str) -> bool:
    """Whether the model thinks before it answers: o1, o3, o4, gpt-5 and later, without the chat variants."""
    return bool(_REASONING.match(model.lower().rpartition("/")[2]))


def _effort(model: str, effort: str) -> str:
    if effort == "minimal" and _O_SERIES.match(model.lower().rpartition("/")[2]):
        return "low"
    return _EFFORTS.get(effort, effort)


def _cache_key(prompt_caching: Any) -> str | None:
    if isinstance(prompt_caching, PromptCacheConfig):
        return prompt_caching.cache_key if prompt_caching.enabled else None
    return prompt_caching.get("cache_key") if isinstance(prompt_caching, dict) else None


# -- the conversation


def _turns(messages: Sequence[Message]) -> Iterator[Block]:
    """The messages. Pictures that tools return follow the results as the user's, because results are text only."""
    pictures: list[Image] = []
    for message in messages:
        if message.role is Role.TOOL:
            pictures += message.images
            yield {"role": "tool", "tool_call_id": message.tool_call_id or "", "content": message.content}
            continue
        if pictures:
            yield {"role": "user", "content": [_picture(image) for image in pictures]}
            pictures = []
        yield _turn(message)
    if pictures:
        yield {"role": "user", "content": [_picture(image) for image in pictures]}


def _turn(message: Message) -> Block:
    if message.tool_calls:
        calls = [_call(call) for call in message.tool_calls]
        return {"role": "assistant", "content": message.content or None, "tool_calls": calls}
    if message.images and message.role is Role.USER:
        words = [{"type": "text", "text": message.content}] if message.content else []
        return {"role": "user", "content": [*words, *map(_picture, message.images)]}
    return {"role": message.role.value, "content": message.content}


def _call(call: ToolCall) -> Block:
    arguments = json.dumps(call.args, ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": wire_name(call.tool), "arguments": arguments}}


def _picture(image: Image) -> Block:
    url = image.url or f"data:{image.media_type};base64,{image.data}"
    return {"type": "image_url", "image_url": {"url": url}}


def _tool(tool: ToolDef) -> Block:
    parameters = tool.input_schema or {"type": "object", "properties": {}}
    return {
        "type": "function",
        "function": {"name": wire_name(tool.name), "description": tool.description, "parameters": parameters},
    }


# -- structured output


def _ask_for(output_schema: Any, request: Block) -> None:
    """Ask for an answer that fits: strictly where the API can, else as a hint, and for what is no object in words."""
    schema: Schema = schema_of(output_schema)
    strict = strict_schema(schema)
    if strict is None and schema.get("type") != "object":
        request["messages"].append({"role": "system", "content": _SCHEMA_IN_WORDS + canonical(schema)})
        return
    request["response_format"] = {
        "type": "json_schema",
        "json_schema": {
            "name": schema_name(output_schema),
            "schema": strict or schema,
            "strict": strict is not None,
        },
    }
