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
    if isinstance(answer, Decision):
        return answer
    if answer is False:
        return Reject()
    return Reject(f"the approval handler answered {type(answer).__name__}, not a decision")
