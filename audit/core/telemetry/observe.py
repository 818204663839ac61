"""What the loop calls around a run, a model call and a tool call."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from audit.core.telemetry.base import Span, Telemetry
from loom.context import RunContext
from loom.messages import ToolCall, ToolResult, Usage


class _Reply(Protocol):
    """What is measured of a model's answer."""

    @property
    def usage(self) -> Usage: ...

    @property
    def finish_reason(self) -> str: ...


R = TypeVar("R", bound=_Reply)


def agent_span(
    telemetry: Telemetry, agent: str, model: str, context: RunContext, **attrs: Any
) -> AbstractAsyncContextManager[Span]:
    """The span of a whole run."""
    return telemetry.trace("loom.run", agent=agent, model=model, **_ids(context), **attrs)


def turn_span(telemetry: Telemetry, turn: int, context: RunContext) -> AbstractAsyncContextManager[Span]:
    """The span of one turn: a model call and the tools that it asks for."""
    return telemetry.trace("loom.turn", turn=turn, **_ids(context))


async def observe_model(
    telemetry: Telemetry,
    model: str,
    context: RunContext,
    call: Callable[[], Awaitable[R]],
    *,
    streaming: bool = False,
    **attrs: Any,
) -> R:
    """Ask a model inside a span, and count what it used."""
    name = "loom.model.stream" if streaming else "loom.model.complete"
    began, failure = time.perf_counter(), None
    async with telemetry.trace(name, model=model, streaming=streaming, **_ids(context), **attrs) as span:
        try:
            reply = await call()
        except Exception as error:
            failure = type(error).__name__
            raise
        finally:
            elapsed_ms = 1000 * (time.perf_counter() - began)
            await telemetry.emit_metric("loom.model.duration_ms", elapsed_ms, model=model, error_type=failure)
        usage = reply.usage
        tokens_in = usage.input_tokens + usage.cached_input_tokens + usage.cache_write_tokens
        span.attributes.update(
            tokens_in=tokens_in,
            tokens_out=usage.output_tokens,
            cached_tokens_in=usage.cached_input_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            cost_usd=usage.cost_usd,
            finish_reason=reply.finish_reason,
        )
    await telemetry.emit_metric("loom.tokens.input", tokens_in, model=model)
    await telemetry.emit_metric("loom.tokens.output", usage.output_tokens, model=model)
    if usage.cached_input_tokens:
        await telemetry.emit_metric("loom.tokens.cache_read", usage.cached_input_tokens, model=model)
    if usage.cache_write_tokens:
        await telemetry.emit_metric("loom.tokens.cache_write", usage.cache_write_tokens, model=model)
    await telemetry.emit_metric("loom.cost.usd", usage.cost_usd, model=model)
    return reply


async def observe_tool(
    telemetry: Telemetry,
    call: ToolCall,
    context: RunContext,
    run: Callable[[], Awaitable[ToolResult]],
    **attrs: Any,
) -> ToolResult:
    """Run a tool inside a span. A tool that failed marks its span, a refused one does not."""
    began = time.perf_counter()
    async with telemetry.trace("loom.tool", tool=call.tool, call_id=call.id, **_ids(context), **attrs) as span:
        result = await run()
        span.attributes["ok"] = result.ok
        if not result.ok and not result.denied:
            span.attributes["error_type"] = "tool_error"
    elapsed_ms = 1000 * (time.perf_counter() - began)
    await telemetry.emit_metric("loom.tool.duration_ms", elapsed_ms, tool=call.tool, ok=result.ok)
    return result


def _ids(context: RunContext) -> dict[str, Any]:
    """Whose work it is. On spans only: on metrics each would be a time series of its own."""
    return {"session_id": context.session_id, "user_id": context.user_id, "run_id": context.run_id or None}
