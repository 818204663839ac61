"""The two doors to the outside: asking a model, and running the tool calls it answers with.

Every architecture goes through here, so the gate, the journal, the audit log and the telemetry see everything:

    reply   = await call_model(session, deps, messages, step="turn:1/model")
    results = await call_tools(session, deps, reply.tool_calls, step="turn:1")

Both skip what is not wired. A step's name is its structural path within the run; the loop puts the worker's path
before it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from typing import Any, assert_never

import anyio
from pydantic_core import to_json

from agents.core.architectures.base import AgentSession, Dependencies
from agents.core.concurrency import together
from agents.core.context_policy import MAX_RESULT_CHARS, excerpt
from agents.core.llm.base import Model
from agents.core.llm.retrying import closing
from agents.core.llm.tokens import Tally, tokens_of_tools
from agents.core.llm.worst_case import worst_case
from agents.core.tools.base import CallAt
from governance.core.budget import Estimate
from governance.core.gate import (
    Allow,
    Answer,
    Ask,
    Asked,
    Decided,
    Deny,
    ModelAction,
    ToolAction,
    demands_approval,
)
from loom.context import get_run_context, set_run_context
from loom.errors import RuntimeJournalError
from loom.events import Event, EventKind
from loom.ids import deterministic_hash
from loom.messages import Message, ModelChunk, Role, ToolCall, ToolDef, ToolResult, Usage

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

    The usage is added to the session and booked with the budget. Raises what the model raises, a `ModelError`.
    """
    model = model or deps.model
    allowed: Allow | None = None
    if not deps.fast_gate and not is_recorded(deps, deps.path + step):
        estimate = _estimate(session, deps, model, messages, tools, max_tokens)
        allowed = await _may_ask(session, deps, model, step, estimate)
        if allowed is None:
            return None
        max_tokens = allowed.max_output_tokens or max_tokens
    request = Request(
        model,
        messages,
        tools,
        output_schema,
        deps.effort,
        deps.strict_effort,
        deps.prompt_caching,
        max_tokens,
    )
    reply: Reply | None = None
    try:
        if allowed is not None and allowed.warning is not None:
            await _emit(deps, EventKind.BUDGET_WARNING, session, {"status": allowed.warning})
        reply = await _ask_observed(session, deps, request, deps.path + step)
    finally:
        if allowed is not None:
            with anyio.CancelScope(shield=True):
                await deps.gate.settle(allowed, reply.usage if reply else None)
    session.cumulative_usage += reply.usage
    return reply


async def call_tools(
    session: AgentSession, deps: Dependencies, calls: Sequence[ToolCall], *, step: str
) -> list[ToolResult]:
    """Run all calls of one turn, at the same time where there are several. Results come in the order of the calls."""
    if len(calls) == 1:
        return [await _call_tool(session, deps, calls[0], f"{deps.path}{step}/tool:call_1")]
    return await together(
        [
            partial(_call_tool, session, deps, call, f"{deps.path}{step}/tool:call_{slot}")
            for slot, call in enumerate(calls, start=1)
        ]
    )


def tool_messages(
    calls: Sequence[ToolCall], results: Sequence[ToolResult], max_chars: int | None = MAX_RESULT_CHARS
) -> list[Message]:
    """What the model reads of the results; longer ones are cut in the middle and say so."""
    return [
        Message(
            role=Role.TOOL,
            content=excerpt(result.text(), max_chars, call.tool),
            name=call.tool,
            tool_call_id=call.id,
        )
        for call, result in zip(calls, results, strict=True)
    ]


MAY_HAVE_HAPPENED = (
    "this call had begun when the run was cut off, and whether it took effect is not known. It cannot be undone, so it "
    "was not made again. Find out what happened before you go on."
)


def is_recorded(deps: Dependencies, key: str) -> bool:
    """Whether a step only is replayed: nobody is asked, charged or told again for what has been done."""
    if deps.fast_runtime:
        return False
    known: Callable[[str], bool] | None = getattr(deps.runtime, "is_recorded", None)
    return known is not None and known(key)


def _in_doubt(deps: Dependencies, key: str) -> bool:
    doubted: Callable[[str], bool] | None = getattr(deps.runtime, "in_doubt", None)
    return not deps.fast_runtime and doubted is not None and doubted(key)


# --- asking a model ---------------------------------------------------------------------------------------------------


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
    await _emit(deps, EventKind.BUDGET_EXCEEDED, session, {"status": {"state": "blocked", "reason": reason}})
    if not deps.fast_telemetry:
        await deps.telemetry.emit_metric("loom.budget.exceeded", 1, reason=reason)
    return None


async def _ask_observed(session: AgentSession, deps: Dependencies, request: Request, key: str) -> Reply:
    if deps.fast_telemetry or is_recorded(deps, key):
        return await _ask_journaled(session, deps, request, key)
    from audit.core import telemetry

    return await telemetry.observe_model(
        deps.telemetry,
        request.model.name,
        deps.context,
        lambda: _ask_journaled(session, deps, request, key),
        streaming=deps.streaming and deps.emit is not None,
        turn=session.turns,
        tool_count=len(request.tools),
    )


async def _ask_journaled(session: AgentSession, deps: Dependencies, request: Request, key: str) -> Reply:
    on_chunk: OnChunk | None = None
    if deps.streaming and deps.emit is not None:
        emit = deps.emit

        async def on_chunk(chunk: ModelChunk) -> None:
            await emit(_event(deps, EventKind.MODEL_CHUNK, session, {"chunk": chunk, "step_key": key}))

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
        return Reply(text, tuple(calls), usage, finish_reason)
    return await _collect(model.stream(list(request.messages), **options), on_chunk)


async def _collect(chunks: AsyncIterator[ModelChunk], on_chunk: OnChunk | None) -> Reply:
    texts: list[str] = []
    calls: list[ToolCall] = []
    usage, finish_reason = Usage(), "stop"
    async with closing(chunks) as chunks:
        async for chunk in chunks:
            if chunk.text:
                texts.append(chunk.text)
            if chunk.tool_call is not None:
                calls.append(chunk.tool_call)
            if chunk.usage is not None:
                usage = chunk.usage
            finish_reason = chunk.finish_reason or finish_reason
            if on_chunk is not None:
                await on_chunk(chunk)
    return Reply("".join(texts), tuple(calls), usage, finish_reason)


# --- running a tool ---------------------------------------------------------------------------------------------------


async def _call_tool(session: AgentSession, deps: Dependencies, call: ToolCall, key: str) -> ToolResult:
    if call.tool_def is None:
        call = await _described(deps, call)
    await _emit(deps, EventKind.TOOL_CALL, session, {"call": call})
    if is_recorded(deps, key):  # it was judged, told and written down then
        result: ToolResult = await deps.runtime.step(key, _replayed, call)
    else:
        result = await _called(session, deps, call, key)
    await _emit(deps, EventKind.TOOL_RESULT, session, {"result": result})
    return result


async def _called(session: AgentSession, deps: Dependencies, call: ToolCall, key: str) -> ToolResult:
    if not deps.fast_audit:
        await _audit(session, deps, "model", "tool_call", _call_payload(call))
    if call.tool_def is None:
        result = await _instead(deps, call, key, ToolResult.error_(call.id, await _unknown(deps, call.tool)))
    elif _in_doubt(deps, key):  # nobody is asked to permit what is not run
        result = await _instead(deps, call, key, ToolResult.error_(call.id, MAY_HAVE_HAPPENED))
    else:
        result = await _judged(session, deps, call, key)
    if not deps.fast_audit:
        await _audit(session, deps, "system", "tool_result", _result_payload(deps, call, result))
    return result


async def _judged(session: AgentSession, deps: Dependencies, call: ToolCall, key: str) -> ToolResult:
    action = ToolAction(call, deps.context.user_id, session.id, deps.context.run_id, key)
    verdict = await _may_call(session, deps, action)
    if isinstance(verdict, Deny):
        return await _instead(deps, call, key, ToolResult.denied_(call.id, verdict.reason))
    if isinstance(verdict, Answer):
        return await _instead(deps, call, key, ToolResult.success(call.id, verdict.text))
    result = await _run_observed(deps, Permitted(call, verdict.call), key)
    if not deps.fast_hooks:
        await deps.gate.returned(action, result)
    return result


@dataclass(frozen=True, slots=True)
class Permitted:
    """A call that may run, and what a person made of it."""

    asked: ToolCall
    edited: ToolCall | None = None

    @property
    def call(self) -> ToolCall:
        return self.edited or self.asked

    def journal(self) -> dict[str, Any]:
        """What the model asked for; a replay compares that, since it does not ask the person again."""
        if self.call.args == self.asked.args:
            return self.asked.journal()
        return {**self.asked.journal(), "edited_args": self.call.args}


async def _described(deps: Dependencies, call: ToolCall) -> ToolCall:
    """The call with what its tool says of itself. Without that, nobody could say whether it may run."""
    for tool in await deps.tools.list_tools():
        if tool.name == call.tool:
            return call.model_copy(update={"tool_def": tool})
    return call


async def _unknown(deps: Dependencies, name: str) -> str:
    near = get_close_matches(name, [tool.name for tool in await deps.tools.list_tools()], 1)
    return f"unknown tool: {name}" + (f"; did you mean {near[0]!r}?" if near else "")


async def _may_call(session: AgentSession, deps: Dependencies, action: ToolAction) -> Allow | Deny | Answer:
    if deps.desk is not None and (objection := deps.desk.objection(action.call, session.messages)):
        return Deny(objection)
    if deps.fast_gate and not demands_approval(action.call):
        return _ALLOWED

    async def observer(what: Asked | Decided) -> None:
        await _tell_of_question(session, deps, what)

    verdict = await deps.gate.check(action, observer=observer)
    if isinstance(verdict, Ask):  # nobody here can wait for a person
        return Deny(f"{verdict.reason or 'approval required'}; no approver", by="approval")
    return verdict


_ALLOWED = Allow()


async def _tell_of_question(session: AgentSession, deps: Dependencies, what: Asked | Decided) -> None:
    if not isinstance(what.action, ToolAction):
        return
    call = what.action.call
    if isinstance(what, Asked):
        payload = {"call": call, "reason": what.question.reason}
        await _emit(deps, EventKind.PERMISSION_ASK, session, payload)
        await _audit(session, deps, "system", "permission_ask", {"tool": call.tool, "call_id": call.id, **_said(what)})
        return
    await _emit(deps, EventKind.PERMISSION_DECISION, session, {"call": call, **_said(what)})
    payload = {"tool": call.tool, "call_id": call.id, **_said(what)}
    await _audit(session, deps, "user" if what.decision else "system", "permission_decision", payload)


def _said(what: Asked | Decided) -> dict[str, Any]:
    if isinstance(what, Asked):
        return {"reason": what.question.reason}
    verdict = what.verdict
    match verdict:
        case Deny(reason=reason, by=by):
            return {"decision": "deny", "reason": reason, "by": by}
        case Answer():
            return {"decision": "respond"}
        case Allow(call=call):
            return {"decision": "allow", "args": call.args if call else None}
        case _:
            assert_never(verdict)


async def _instead(deps: Dependencies, call: ToolCall, key: str, result: ToolResult) -> ToolResult:
    """The result of a call that did not run. It is a step too, so that a replay reads the same."""
    if deps.fast_runtime:
        return result

    async def tell(call: ToolCall) -> ToolResult:
        return result

    without_effect = call.model_copy(update={"tool_def": None})
    told: ToolResult = await deps.runtime.step(key, tell, without_effect)
    return told


async def _replayed(call: ToolCall) -> ToolResult:
    raise RuntimeJournalError(f"the result of {call.tool} was recorded and is gone")


async def _run_observed(deps: Dependencies, permitted: Permitted, key: str) -> ToolResult:
    if deps.fast_telemetry:
        return await _run_journaled(deps, permitted, key)
    from audit.core import telemetry

    return await telemetry.observe_tool(
        deps.telemetry, permitted.call, deps.context, lambda: _run_journaled(deps, permitted, key)
    )


async def _run_journaled(deps: Dependencies, permitted: Permitted, key: str) -> ToolResult:
    call_at: CallAt | None = getattr(deps.tools, "call_at", None)
    if call_at is not None and (nested := await call_at(permitted.call, key)) is not None:
        return nested
    idempotency_key = f"{deps.context.run_id}:{key}"

    async def run(permitted: Permitted) -> ToolResult:
        async with set_run_context(get_run_context().with_overrides(idempotency_key=idempotency_key)):
            return await _run(deps, permitted.call)

    if deps.fast_runtime:
        return await run(permitted)
    result: ToolResult = await deps.runtime.step(key, run, permitted, idempotency_key=idempotency_key)
    return result


async def _run(deps: Dependencies, call: ToolCall) -> ToolResult:
    try:
        return await deps.tools.call(call.tool, call.args, call_id=call.id)
    except Exception as error:  # a tool host should not raise; the model is told what it would have been told
        log.warning("the tool host raised on %s", call.tool, exc_info=error)
        return ToolResult.error_(call.id, str(error) or type(error).__name__)


# --- telling ----------------------------------------------------------------------------------------------------------


async def _emit(deps: Dependencies, kind: EventKind, session: AgentSession, payload: dict[str, Any]) -> None:
    if deps.emit is not None:
        await deps.emit(_event(deps, kind, session, payload))


def _event(deps: Dependencies, kind: EventKind, session: AgentSession, payload: dict[str, Any]) -> Event:
    return Event(kind=kind, session_id=session.id, payload=payload, worker=deps.path.rstrip("/"))


async def _audit(session: AgentSession, deps: Dependencies, actor: str, action: str, payload: dict[str, Any]) -> None:
    if deps.audit_log is None:
        return
    user_id = deps.context.user_id
    await deps.audit_log.append(session_id=session.id, actor=actor, action=action, payload=payload, user_id=user_id)


def _call_payload(call: ToolCall) -> dict[str, Any]:
    return {"tool": call.tool, "call_id": call.id, "args": call.args, "destructive": call.is_destructive()}


def _result_payload(deps: Dependencies, call: ToolCall, result: ToolResult) -> dict[str, Any]:
    from audit.core.log import wants_full_transcripts

    payload: dict[str, Any] = {
        "tool": call.tool,
        "call_id": call.id,
        "ok": result.ok,
        "denied": result.denied,
        "error": result.error,
        "reason": result.reason,
    }
    if deps.audit_log is not None and wants_full_transcripts(deps.audit_log):
        payload |= {"output": result.output, "duration_ms": result.duration_ms}
    return payload
