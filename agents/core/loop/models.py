"""Asking a model."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
from pydantic_core import to_json

from agents.core import faults
from agents.core.architectures.base import AgentSession, Dependencies
from agents.core.llm.base import Model
from agents.core.llm.mended import REPLACEMENT, begun, mended
from agents.core.llm.retrying import closing
from agents.core.llm.tokens import Count, Tally, tokens_of_tools
from agents.core.llm.waste import waste_of
from agents.core.llm.worst_case import worst_case
from agents.core.loop.telling import emit, event_of, is_recorded
from audit.core.telemetry import observe_model
from governance.core.budget import Estimate
from governance.core.gate import (
    Allow,
    Deny,
    ModelAction,
)
from loom.errors import Unavailable
from loom.events import EventKind
from loom.ids import deterministic_hash
from loom.messages import NO_USAGE, Message, ModelChunk, Role, ToolCall, ToolDef, Usage, without_defaults

_PAUSES_SECONDS = (0.0, 0.1, 1.0)  # before each try at telling a budget; settling twice changes nothing

log = logging.getLogger(__name__)

OnChunk = Callable[[ModelChunk], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a model."""

    model: Model
    messages: Sequence[Message]
    tools: Sequence[ToolDef] = ()
    output_schema: Any = None
    effort: str | None = None
    strict_effort: bool = False
    prompt_caching: Any = None
    max_tokens: int | None = None

    def journal(self) -> dict[str, Any]:
        """What the journal keeps of the question: not the conversation again, but what tells two questions apart."""
        digest = deterministic_hash(to_json(self.messages).decode())
        return {"model": self.model.name, "messages": len(self.messages), "digest": digest}


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = field(default_factory=Usage)
    finish_reason: str = "stop"

    def __written__(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "tool_calls": [without_defaults(call, "args") for call in self.tool_calls],
            "usage": without_defaults(self.usage, "input_tokens", "output_tokens"),
            "finish_reason": self.finish_reason,
        }

    def message(self) -> Message:
        return Message(role=Role.ASSISTANT, content=self.text, tool_calls=self.tool_calls)


async def call_model(
    session: AgentSession,
    deps: Dependencies,
    messages: Sequence[Message],
    *,
    step: str,
    model: Model | None = None,
    tools: Sequence[ToolDef] = (),
    output_schema: Any = None,
    max_tokens: int | None = None,
) -> Reply | None:
    """Ask a model. None when the gate says no: the session is then interrupted and says why.

    The usage is added to the session and booked with the budget, which also hears what a failed call has used. Raises
    what the model raises, a `ModelError`.
    """
    model, key = model or deps.model, deps.path + step
    allowed: Allow | None = None
    estimate: Estimate | None = None
    heard: list[ModelChunk] = []
    if not deps.fast_budget and not is_recorded(deps, key):  # of a model, nothing else of the gate is asked
        estimate = _estimate(session, deps, model, messages, tools, max_tokens)
        allowed = await _may_ask(session, deps, model, step, estimate)
        if allowed is None:
            return None
        max_tokens = allowed.max_output_tokens or max_tokens
    effort, caching = deps.effort, deps.prompt_caching
    request = Request(model, messages, tools, output_schema, effort, deps.strict_effort, caching, max_tokens)
    try:
        if allowed is not None and allowed.warning is not None:
            await emit(deps, EventKind.BUDGET_WARNING, session, {"status": allowed.warning})
        quietly = deps.fast_telemetry or is_recorded(deps, key)
        reply = await (_ask_journaled if quietly else _ask_observed)(session, deps, request, key, heard)
    except BaseException as error:
        if allowed is not None:
            await _settle(deps, allowed, _used_until(error, heard, estimate, session.tally.count))
        raise
    if allowed is not None:
        await _settle(deps, allowed, reply.usage)
    session.cumulative_usage += reply.usage
    return reply


async def _settle(deps: Dependencies, allowed: Allow, usage: Usage | None) -> None:
    """Book what a call has used. It has happened and is paid for, so a budget that is away takes no answer along: it
    is told again, and when that does not help it keeps what was reserved, so that nothing is overspent.
    """
    for pause in _PAUSES_SECONDS:
        if pause:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(pause)
        try:
            faults.reach("before_settle")
            await deps.gate.settle(allowed, usage)
            return
        except (Unavailable, OSError) as error:
            away = error
            log.warning("a budget cannot be told what a model call has used: %r", error)
    log.error("the run goes on with a reservation that its budget still holds", exc_info=away)


def _used_until(
    error: BaseException, heard: Sequence[ModelChunk], estimate: Estimate | None, count: Count
) -> Usage | None:
    """What a call has used that failed or was cut off in its answer: the provider wants to be paid for what it has
    said, and who leaves each stream before its end would have no limit. None when nothing was heard.
    """
    if (waste := waste_of(error)) is not NO_USAGE:
        return waste
    if not heard or estimate is None:
        return None
    if (told := heard[-1].usage) is not None:
        return told
    said = count("".join([chunk.text or (str(chunk.tool_call.args) if chunk.tool_call else "") for chunk in heard]))
    share = said / estimate.max_output_tokens if estimate.max_output_tokens else 0.0
    return Usage(
        input_tokens=estimate.input_tokens,
        output_tokens=said,
        cost_usd=estimate.input_cost_usd + share * estimate.output_cost_usd,
        unpriced=not estimate.priced,
    )


def _estimate(
    session: AgentSession,
    deps: Dependencies,
    model: Model,
    messages: Sequence[Message],
    tools: Sequence[ToolDef],
    max_tokens: int | None,
) -> Estimate:
    """The most that the call may use. A conversation that grows is counted once, message by message."""
    count_input: Callable[[Sequence[Message]], int] | None = getattr(
        getattr(model, "inner", model), "count_input", None
    )
    if count_input is not None:
        tokens = count_input(messages)
    else:
        tally = session.tally if messages is session.messages else Tally(session.tally.count)
        tokens = tally.of(messages) + tokens_of_tools(tools, tally.count)
    return worst_case(model, tokens, max_tokens=max_tokens, caching=deps.prompt_caching)


async def _may_ask(
    session: AgentSession, deps: Dependencies, model: Model, step: str, estimate: Estimate
) -> Allow | None:
    context = deps.context
    action = ModelAction(context.user_id, session.id, context.run_id, deps.path + step, model.name, estimate)
    verdict = await deps.gate.check(action)
    if isinstance(verdict, Allow):
        return verdict
    reason = verdict.reason if isinstance(verdict, Deny) else "a model call cannot wait for a person"
    session.interrupt(f"budget:{reason}")
    await emit(deps, EventKind.BUDGET_EXCEEDED, session, {"status": {"state": "blocked", "reason": reason}})
    if not deps.fast_telemetry:
        await deps.telemetry.emit_metric("loom.budget.exceeded", 1, reason=reason)
    return None


async def _ask_observed(
    session: AgentSession, deps: Dependencies, request: Request, key: str, heard: list[ModelChunk]
) -> Reply:
    return await observe_model(
        deps.telemetry,
        request.model.name,
        deps.context,
        lambda: _ask_journaled(session, deps, request, key, heard),
        streaming=deps.streaming and deps.emit is not None,
        turn=session.turns,
        tool_count=len(request.tools),
    )


async def _ask_journaled(
    session: AgentSession, deps: Dependencies, request: Request, key: str, heard: list[ModelChunk]
) -> Reply:
    on_chunk: OnChunk | None = None
    if deps.streaming and deps.emit is not None:
        emit = deps.emit

        async def on_chunk(chunk: ModelChunk) -> None:
            heard.append(chunk)
            await emit(event_of(deps, EventKind.MODEL_CHUNK, session, {"chunk": chunk, "step_key": key}))

    if deps.fast_runtime:
        return await ask(request, on_chunk)

    async def model(request: Request) -> Reply:
        return await ask(request, on_chunk)

    reply: Reply = await deps.runtime.step(key, model, request)
    return reply


async def ask(request: Request, on_chunk: OnChunk | None = None) -> Reply:
    """One call of the model: in one piece where it can and nobody watches, else streamed."""
    model = request.model
    options: dict[str, Any] = {
        "tools": list(request.tools) or None,
        "output_schema": request.output_schema,
        "effort": request.effort,
        "strict_effort": request.strict_effort,
        "prompt_caching": request.prompt_caching,
    }
    if request.max_tokens is not None:
        options["max_tokens"] = request.max_tokens
    complete = getattr(model, "complete", None)
    if on_chunk is None and complete is not None:
        text, calls, usage, finish_reason = await complete(request.messages, **options)
        return Reply(mended(text), tuple([_mended(call) for call in calls]), usage, finish_reason)
    return await _collect(model.stream(list(request.messages), **options), on_chunk)


async def _collect(chunks: AsyncIterator[ModelChunk], on_chunk: OnChunk | None) -> Reply:
    texts: list[str] = []
    calls: list[ToolCall] = []
    usage, finish_reason, half = Usage(), "stop", ""
    async with closing(chunks) as chunks:
        async for said in chunks:
            chunk = said
            if said.text:
                text, half = begun(half + said.text)
                texts.append(text)
                if text != said.text:
                    chunk = said.model_copy(update={"text": text})
            if said.tool_call is not None:
                call = _mended(said.tool_call)
                calls.append(call)
                if call is not said.tool_call:
                    chunk = chunk.model_copy(update={"tool_call": call})
            if chunk.usage is not None:
                usage = chunk.usage
            finish_reason = chunk.finish_reason or finish_reason
            if on_chunk is not None:
                await on_chunk(chunk)
    if half:
        texts.append(REPLACEMENT)
    return Reply("".join(texts), tuple(calls), usage, finish_reason)


def _mended(call: ToolCall) -> ToolCall:
    args = mended(call.args)
    return call if args is call.args else call.model_copy(update={"args": args})
