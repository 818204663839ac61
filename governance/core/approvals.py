"""What a person may answer when a call needs approval."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from loom.messages import ToolCall


@dataclass(frozen=True, slots=True)
class Approve:
    """The call runs as it was shown."""


@dataclass(frozen=True, slots=True)
class Edit:
    """The call runs with these arguments, which replace the old ones entirely. The rules look at them again."""

    args: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reject:
    """The call does not run; the model reads the reason."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Respond:
    """The call does not run; the model reads this text as its result."""

    text: str


Decision = Approve | Edit | Reject | Respond

# Asked in the process of the run, with the call and its user. True and False are the short forms of Approve and Reject.
ApprovalHandler = Callable[[ToolCall, str | None], Awaitable[bool | Decision]]


def decision_of(answer: object) -> Decision:
    """What a handler's answer means. Whatever is neither True nor a decision is a refusal."""
    if answer is True:
        return Approve()
    if isinstance(answer, Edit) and not isinstance(answer.args, Mapping):
        return Reject(f"the approval handler edited the arguments to {type(answer.args).__name__}, not a mapping")
    if isinstance(answer, Decision):
        return answer
    if answer is False:
        return Reject()
    return Reject(f"the approval handler answered {type(answer).__name__}, not a decision")


EXPIRED = "nobody decided in time; the approval has expired and the call was not made"


def decision_from(said: Mapping[str, Any]) -> Decision:
    """A decision as it was written down: `decision` is approve, edit, reject, respond, or expire when nobody did.

    Whatever else stands there is a refusal.
    """
    match said.get("decision"):
        case "approve":
            return Approve()
        case "edit":
            return Edit(said["args"])
        case "respond":
            return Respond(said["response"])
        case "reject":
            return Reject(said.get("reason") or "a person has declined it")
        case "expire":
            return Reject(EXPIRED)
        case other:
            return Reject(f"{other!r} is no decision")
