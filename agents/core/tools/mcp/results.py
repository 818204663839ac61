"""What an MCP tool answered, turned into a tool result."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from agents.core.tools.mcp.descriptors import field
from loom.ids import canonical
from loom.messages import ToolResult


def result_of(answer: Any, *, call_id: str, limit: int) -> ToolResult:
    """Structured content, else the text, else the blocks as they came. More than `limit` bytes are cut, with a mark."""
    blocks = field(answer, "content") or []
    if field(answer, "is_error", "isError"):
        words = _cut(_text(blocks) or "the tool failed and did not say why", limit)
        return ToolResult.error_(call_id, str(words))
    structured = field(answer, "structured_content", "structuredContent")
    if structured is not None:
        return ToolResult.success(call_id, _cut(structured, limit))
    output = (
        _text(blocks) if any(_words(block) is not None for block in blocks) else [_plain(block) for block in blocks]
    )
    return ToolResult.success(call_id, _cut(output, limit))


def _text(blocks: list[Any]) -> str:
    words = (_words(block) for block in blocks)
    return "\n".join(_mention(block) if said is None else said for block, said in zip(blocks, words, strict=True))


def _words(block: Any) -> str | None:
    """The text of a text block or of an embedded text resource."""
    text = getattr(block, "text", None)
    if text is None:
        text = getattr(getattr(block, "resource", None), "text", None)
    return text


def _mention(block: Any) -> str:
    kind = getattr(block, "type", type(block).__name__)
    about = field(block, "mime_type", "mimeType", "uri")
    return f"[{kind} {about}]" if about else f"[{kind}]"


def _plain(block: Any) -> Any:
    if isinstance(block, BaseModel):
        return block.model_dump(mode="json", by_alias=True, exclude_none=True)
    return block


def _cut(value: Any, limit: int) -> Any:
    text = value if isinstance(value, str) else canonical(value)
    size = len(text.encode())
    if size <= limit:
        return value
    kept = text.encode()[:limit].decode(errors="ignore")
    return f"{kept}\n… (cut here: the tool answered {size} bytes, the limit is {limit})"
