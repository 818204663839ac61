"""Telling the listener and the audit log what the loop does, and whether a step was done before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agents.core.architectures.base import AgentSession, Dependencies
from audit.core.log import append_soon, wants_full_transcripts
from loom.events import Event, EventKind
from loom.messages import ToolCall, ToolResult


async def emit(deps: Dependencies, kind: EventKind, session: AgentSession, payload: dict[str, Any]) -> None:
    if deps.emit is not None:
        await deps.emit(event_of(deps, kind, session, payload))


def event_of(deps: Dependencies, kind: EventKind, session: AgentSession, payload: dict[str, Any]) -> Event:
    return Event(kind=kind, session_id=session.id, payload=payload, worker=deps.path.rstrip("/"))


async def audit(session: AgentSession, deps: Dependencies, actor: str, action: str, payload: dict[str, Any]) -> None:
    """Write an entry before going on."""
    if (log := deps.audit_log) is not None:
        user_id = deps.context.user_id
        await log.append(session_id=session.id, actor=actor, action=action, payload=payload, user_id=user_id)


async def audit_soon(
    session: AgentSession, deps: Dependencies, actor: str, action: str, payload: dict[str, Any]
) -> None:
    """The same for what nothing depends on: it is written along with what comes next."""
    if (log := deps.audit_log) is not None:
        user_id = deps.context.user_id
        await append_soon(log, session_id=session.id, actor=actor, action=action, payload=payload, user_id=user_id)


def call_payload(session: AgentSession, call: ToolCall) -> dict[str, Any]:
    return {
        "tool": call.tool,
        "call_id": call.id,
        "args": call.args,
        "destructive": call.is_destructive(),
        "turn": session.turns,
    }


def result_payload(session: AgentSession, deps: Dependencies, call: ToolCall, result: ToolResult) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "tool": call.tool,
        "call_id": call.id,
        "ok": result.ok,
        "denied": result.denied,
        "error": result.error,
        "reason": result.reason,
        "turn": session.turns,
    }
    if wants_full_transcripts(deps.audit_log):
        payload |= {"output": result.output, "duration_ms": result.duration_ms}
    return payload


def is_recorded(deps: Dependencies, key: str) -> bool:
    """Whether a step only is replayed: nobody is asked, charged or told again for what has been done."""
    if deps.fast_runtime:
        return False
    known: Callable[[str], bool] | None = getattr(deps.runtime, "is_recorded", None)
    return known is not None and known(key)
