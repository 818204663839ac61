"""A session whose run can wait for a person: as long as it takes, and holding nothing meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from uuid_utils.compat import uuid7

from agents.core.runtime.journal import Journal, JournalSession
from agents.core.runtime.suspended import Suspended
from agents.core.runtime.written import storable
from governance.core.approvals import Decision, decision_from
from governance.core.gate import Ask
from loom.errors import NonDeterminism
from loom.events import Kind, Record
from loom.messages import ToolCall, utcnow


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked: whether a call may be made, or what became of one that a crash has cut off."""

    call: ToolCall
    reason: str
    policy: str | None = None
    kind: Literal["call", "reconcile"] = "call"

    def journal(self) -> dict[str, Any]:
        """The question as it is written down: everything that an approver is shown and a decision is bound to."""
        tool = self.call.tool_def
        return {
            "approval_id": str(uuid7()),
            "kind": self.kind,
            "call_id": self.call.id,
            "tool": self.call.tool,
            "args": self.call.args,
            "args_hash": self.call.idempotency_key(),
            "schema": tool.input_schema if tool is not None else {},
            "effect": tool.effect if tool is not None else "irreversible",
            "destructive": self.call.is_destructive(),
            "reason": self.reason,
            "policy": self.policy,
        }


class WaitingSession(JournalSession):
    """Questions are records like all others: asked once, answered once, and found again by every replay."""

    def __init__(self, session_id: str, journal: Journal, recorded: Sequence[Record] = ()) -> None:
        super().__init__(session_id, journal, recorded)
        self._asked = {r.step_key: r for r in recorded if r.kind == Kind.APPROVAL_REQUESTED}
        self._decided = {r.step_key: r for r in recorded if r.kind == Kind.APPROVAL_DECIDED}
        self._begun = Counter(r.step_key for r in recorded if r.kind == Kind.TOOL_STARTED)

    def decision_on(self, step: str, call: ToolCall) -> tuple[Ask, Decision] | None:
        """What a person was asked about this call at this step and has said, None as long as nobody has.

        Raises NonDeterminism when the person was shown another call.
        """
        if (asked := self._asked.get(step)) is None:
            return None
        if asked.data["args_hash"] != call.idempotency_key():
            raise NonDeterminism(
                f"step {step!r} asked about {asked.data['tool']}({asked.data['args']}) and is now "
                f"{call.tool}({call.args}): the code or the agent has changed since",
                step_key=step,
            )
        if (decided := self._decided.get(step)) is None:
            return None
        return Ask(asked.data["reason"], asked.data["policy"]), decision_from(decided.data)

    def ask(self, step: str, question: Question) -> Suspended:
        """Put a question to a person, unless it is put already; what is to be raised until it is answered."""
        if step not in self._asked:
            record = Record(kind=Kind.APPROVAL_REQUESTED, step_key=step, data=storable(question.journal()))
            self._journal.post(record)
            self._asked[step] = record
        return Suspended([step])

    async def _wait_until(self, name: str, moment: datetime) -> None:
        if moment > utcnow():
            raise Suspended([name], moment)

    def doubt_about(self, name: str) -> str:
        """The step of the question what became of a call. Each time that the call is cut off it is another question."""
        return f"{name}/reconcile:{self._begun[name]}"

    def begin_again(self, name: str) -> None:
        """A person has looked and wants the step done: it begins as if for the first time."""
        self._started.pop(name, None)
