"""Running the tool calls of a turn."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from typing import Any, assert_never

from agents.core.architectures.base import AgentSession, Dependencies
from agents.core.concurrency import together
from agents.core.context_policy import MAX_RESULT_CHARS, excerpt
from agents.core.loop.telling import audit, audit_soon, call_payload, emit, is_recorded, result_payload
from agents.core.runtime.base import key_of
from agents.core.runtime.unwinding import UnwindingSession
from agents.core.runtime.waiting import Question, WaitingSession
from agents.core.tools.base import CallAt
from audit.core.telemetry import observe_tool
from governance.core.approvals import Reject, Respond
from governance.core.gate import (
    Allow,
    Answer,
    Ask,
    Asked,
    Decided,
    Deny,
    ToolAction,
    demands_approval,
)
from loom.context import get_run_context, set_run_context
from loom.errors import RuntimeJournalError
from loom.events import EventKind
from loom.messages import Message, Role, ToolCall, ToolResult

log = logging.getLogger(__name__)

# A tool that is a step of a workflow and tried again is the same call: whoever it calls must be able to see that.
_AGAIN = re.compile(r"/attempt:\d+(?=/tool:call_1$)")

MAY_HAVE_HAPPENED = (
    "this call had begun when the run was cut off, and whether it took effect is not known. It cannot be undone, so it "
    "was not made again. Find out what happened before you go on."
)


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


async def _call_tool(session: AgentSession, deps: Dependencies, call: ToolCall, key: str) -> ToolResult:
    if call.tool_def is None:
        call = await _described(deps, call)
    await emit(deps, EventKind.TOOL_CALL, session, {"call": call})
    was_run = not is_recorded(deps, key)
    if not was_run:  # it was judged, told and written down then
        result: ToolResult = await deps.runtime.step(key, _replayed, call)
        if isinstance(deps.runtime, UnwindingSession):
            deps.runtime.did(key, call, result, deps.tools)
    else:
        result = await _called(session, deps, call, key)
    if deps.desk is not None:
        deps.desk.heard(call, result, was_run=was_run)
    await emit(deps, EventKind.TOOL_RESULT, session, {"result": result})
    return result


async def _called(session: AgentSession, deps: Dependencies, call: ToolCall, key: str) -> ToolResult:
    if not deps.fast_audit and not is_recorded(deps, _permit(key)):
        await audit(session, deps, "model", "tool_call", call_payload(session, call))
    if call.tool_def is None:
        result = await _instead(deps, call, key, ToolResult.error_(call.id, await _unknown(deps, call.tool)))
    elif _in_doubt(deps, key):
        result = await _reconciled(session, deps, call, key)
    else:
        result = await _judged(session, deps, call, key)
    if not deps.fast_audit:
        await audit_soon(session, deps, "system", "tool_result", result_payload(session, deps, call, result))
    return result


async def _judged(session: AgentSession, deps: Dependencies, call: ToolCall, key: str) -> ToolResult:
    action = ToolAction(call, deps.context.user_id, session.id, deps.context.run_id, key)
    verdict = await _verdict(session, deps, action)
    if isinstance(verdict, Deny):
        return await _instead(deps, call, key, ToolResult.denied_(call.id, verdict.reason))
    if isinstance(verdict, Answer):
        return await _instead(deps, call, key, ToolResult.success(call.id, verdict.text))
    permitted = Permitted(call, verdict.call)
    result = await _run_observed(session, deps, permitted, key)
    if not deps.fast_hooks:
        await _show_hooks(deps, action, permitted.call, result)
    return result


async def _show_hooks(deps: Dependencies, asked: ToolAction, call: ToolCall, result: ToolResult) -> None:
    """Show the hooks what ran and its result: of a call that is made of steps, once and not at each replay."""
    action = replace(asked, call=call)
    if not _is_made_of_steps(deps):
        await deps.gate.returned(action, result)
        return

    async def returned(call: ToolCall) -> None:
        await deps.gate.returned(action, result)

    await deps.runtime.step(f"{asked.path}/returned", returned, asked.call)


async def _reconciled(session: AgentSession, deps: Dependencies, call: ToolCall, key: str) -> ToolResult:
    """The result of a call that may have had its effect: a person finds out; where nobody can, it is not repeated."""
    if (waiting := _waiting(deps)) is None:
        return await _instead(deps, call, key, ToolResult.error_(call.id, MAY_HAVE_HAPPENED))
    step = waiting.doubt_about(key)
    if (answered := waiting.decision_on(step, call)) is None:
        raise waiting.ask(step, Question(call, f"{call.tool}: this may have happened", kind="reconcile"))
    match answered[1]:
        case Respond(text):
            return await _instead(deps, call, key, ToolResult.success(call.id, text))
        case Reject(reason):
            said = f"{MAY_HAVE_HAPPENED} {reason}".rstrip()
            return await _instead(deps, call, key, ToolResult.error_(call.id, said))
        case _:
            waiting.begin_again(key)
            return await _judged(session, deps, call, key)


def _waiting(deps: Dependencies) -> WaitingSession | None:
    """The run's session, if the run can wait for a person."""
    return deps.runtime if isinstance(deps.runtime, WaitingSession) else None


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


async def _verdict(session: AgentSession, deps: Dependencies, action: ToolAction) -> Allow | Deny | Answer:
    """Whether the call may run. Of a call that is made of steps of its own, and no step itself, that is written down:
    a run that goes on inside of it asks nobody again."""
    if not _is_made_of_steps(deps) or (deps.fast_gate and not demands_approval(action.call)):
        return await _may_call(session, deps, action)

    async def permit(call: ToolCall) -> dict[str, Any]:
        verdict = await _may_call(session, deps, action)
        match verdict:
            case Allow(call=allowed):
                return {"allowed": None if allowed is None else allowed.args}
            case Deny(reason=reason, by=by):
                return {"denied": reason, "by": by}
            case Answer(text=text):
                return {"answer": text}
            case _:
                assert_never(verdict)

    said = await deps.runtime.step(_permit(action.path), permit, action.call)
    if "denied" in said:
        return Deny(said["denied"], said["by"])
    if "answer" in said:
        return Answer(said["answer"])
    args = said["allowed"]
    return Allow(call=None if args is None else action.call.model_copy(update={"args": args}))


def _is_made_of_steps(deps: Dependencies) -> bool:
    """Whether calls may be made of steps of their own instead of being one, so that a replay goes through them."""
    return not deps.fast_runtime and getattr(deps.tools, "call_at", None) is not None


def _permit(key: str) -> str:
    return f"{key}/permit"


async def _may_call(session: AgentSession, deps: Dependencies, action: ToolAction) -> Allow | Deny | Answer:
    if deps.desk is not None and (objection := deps.desk.objection(action.call, session.messages)):
        return Deny(objection)
    if deps.fast_gate and not demands_approval(action.call):
        return _ALLOWED

    async def observer(what: Asked | Decided) -> None:
        await _tell_of_question(session, deps, what)

    waiting = _waiting(deps)
    if waiting is not None and (answered := waiting.decision_on(action.path, action.call)) is not None:
        question, decision = answered
        return await deps.gate.decide(action, question, decision, observer=observer)
    verdict = await deps.gate.check(action, observer=observer, waits=waiting is not None)
    if not isinstance(verdict, Ask):
        return verdict
    if waiting is None:  # a gate that asks although nobody here can wait
        return Deny(verdict.reason or "approval required; no approver", by="approval")
    raise waiting.ask(action.path, Question(action.call, verdict.reason, verdict.policy))


_ALLOWED = Allow()


async def _tell_of_question(session: AgentSession, deps: Dependencies, what: Asked | Decided) -> None:
    if not isinstance(what.action, ToolAction):
        return
    call = what.action.call
    if isinstance(what, Asked):
        payload = {"call": call, "reason": what.question.reason}
        await emit(deps, EventKind.PERMISSION_ASK, session, payload)
        await audit(session, deps, "system", "permission_ask", {"tool": call.tool, "call_id": call.id, **_said(what)})
        return
    await emit(deps, EventKind.PERMISSION_DECISION, session, {"call": call, **_said(what)})
    payload = {"tool": call.tool, "call_id": call.id, **_said(what)}
    await audit(session, deps, "user" if what.decision else "system", "permission_decision", payload)


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


async def _run_observed(session: AgentSession, deps: Dependencies, permitted: Permitted, key: str) -> ToolResult:
    if deps.fast_telemetry:
        return await _run_journaled(session, deps, permitted, key)
    return await observe_tool(
        deps.telemetry,
        permitted.call,
        deps.context,
        lambda: _run_journaled(session, deps, permitted, key),
        turn=session.turns,
    )


async def _run_journaled(session: AgentSession, deps: Dependencies, permitted: Permitted, key: str) -> ToolResult:
    call_at: CallAt | None = getattr(deps.tools, "call_at", None)
    if call_at is not None and (nested := await call_at(permitted.call, key, session, deps)) is not None:
        return nested
    first = _AGAIN.sub("", key)
    idempotency_key = key_of(deps.runtime, first) or f"{deps.context.run_id}:{first}"

    async def run(permitted: Permitted) -> ToolResult:
        with set_run_context(get_run_context().with_overrides(idempotency_key=idempotency_key)):
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


def _in_doubt(deps: Dependencies, key: str) -> bool:
    doubted: Callable[[str], bool] | None = getattr(deps.runtime, "in_doubt", None)
    return not deps.fast_runtime and doubted is not None and doubted(key)
