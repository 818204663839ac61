"""One question before each model call and each tool call: may I?

    verdict = await gate.check(action, observer=..., waits=...)
    match verdict:
        case Allow():  run `verdict.call` (a person may have edited it), or the model within `verdict.reservation`
        case Deny():   tell the model, or stop the run when `verdict.by == "budget"`
        case Ask():    a person decides later (for who can wait): then `await gate.decide(action, verdict, decision)`
        case Answer(): a person answered instead of the tool
    ...
    await gate.settle(verdict, usage)      # after a model call; None when it has used nothing
    await gate.returned(action, result)    # after a tool call: the hooks see the result

Permissions, hooks, budget and approval are parts of the gate; the loop does not know them apart. A part that raises,
is late or answers nonsense denies.
"""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol, assert_never, runtime_checkable

import anyio

from governance.core import hooks as hooking
from governance.core import permissions as permitting
from governance.core.approvals import ApprovalHandler, Approve, Decision, Edit, Reject, Respond, decision_of
from governance.core.budget import Budget, BudgetStatus, Estimate, NoBudget, Reservation, reserving
from governance.core.hooks import HookHost, HookRegistry
from governance.core.permissions import AllowAll, PermissionDecision, Permissions
from governance.core.standard_budget import StandardBudget
from loom.background import is_own_cancellation
from loom.messages import ToolCall, ToolResult, Usage

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelAction:
    """A model is about to be asked. `estimate` is the worst case of the call, None where it is unknown.

    `path` is the structural path of the step in its run, here and in ToolAction.
    """

    user_id: str | None = None
    session_id: str = ""
    run_id: str = ""
    path: str = ""
    model: str = ""
    estimate: Estimate | None = None


@dataclass(frozen=True, slots=True)
class ToolAction:
    """A tool is about to be called. `call.tool_def` is filled: what the tool says of itself counts."""

    call: ToolCall
    user_id: str | None = None
    session_id: str = ""
    run_id: str = ""
    path: str = ""


Action = ModelAction | ToolAction
Part = Literal["permissions", "hooks", "tool", "budget", "approval"]


@dataclass(frozen=True, slots=True)
class Allow:
    """Go ahead. `call` is the tool call to run: the asked one, or the one that a person made of it."""

    call: ToolCall | None = None
    reservation: Reservation | None = None

    @property
    def warning(self) -> BudgetStatus | None:
        """What the budget warns of, if anything."""
        return self.reservation.status if self.reservation and self.reservation.status.warn else None

    @property
    def max_output_tokens(self) -> int | None:
        """How much output the budget has room for, when that is less than was asked for."""
        return self.reservation.max_output_tokens if self.reservation else None


@dataclass(frozen=True, slots=True)
class Deny:
    """No. The reason is told to the model; of a budget it is the name of the limit."""

    reason: str
    by: Part = "permissions"


@dataclass(frozen=True, slots=True)
class Ask:
    """A person must decide. `policy` names the approval policy that applies, if the rule that asked said so."""

    reason: str
    policy: str | None = None
    by: Part = "permissions"


@dataclass(frozen=True, slots=True)
class Answer:
    """A person has answered instead of the tool; the model reads the text as its result."""

    text: str


Verdict = Allow | Deny | Ask | Answer


@dataclass(frozen=True, slots=True)
class Asked:
    """A person is being asked about a call."""

    action: ToolAction
    question: Ask


@dataclass(frozen=True, slots=True)
class Decided:
    """A call was refused, or a person has decided about it. `decision` is None where nobody was asked.

    What is allowed without a question is not reported.
    """

    action: Action
    verdict: Allow | Deny | Answer
    decision: Decision | None = None


_Consult = Callable[[ToolAction], Awaitable[PermissionDecision]]

# Told of questions and decisions as they happen, so that the loop can emit events and audit them.
Observer = Callable[[Asked | Decided], Awaitable[None]]


@runtime_checkable
class Gate(Protocol):
    """What the loop asks. See the module for the order of the calls. No cancellation cuts off `settle`.

    `is_open` says that nothing is wired: the loop then only checks tools that demand approval themselves
    (`demands_approval(call)`). It may change when a hook is added, so it is read at each run.
    """

    @property
    def is_open(self) -> bool: ...

    async def check(self, action: Action, *, observer: Observer | None = None, waits: bool = False) -> Verdict: ...

    async def decide(
        self, action: ToolAction, question: Ask, decision: Decision, *, observer: Observer | None = None
    ) -> Allow | Deny | Answer: ...

    async def settle(self, allowed: Allow, usage: Usage | None) -> None: ...

    async def returned(self, action: ToolAction, result: ToolResult) -> None: ...


def demands_approval(call: ToolCall) -> bool:
    """Whether the tool asks for approval of each call, whatever the permissions say."""
    return call.tool_def is not None and call.tool_def.approval is True


class StandardGate:
    """Permissions, hooks, a budget and an approval handler behind one question.

    A question without a handler is refused, unless the caller says that it `waits`: then `Ask` is the verdict, and
    `decide` turns the decision into one when it comes.
    """

    def __init__(
        self,
        *,
        permissions: Permissions | None = None,
        hooks: HookHost | None = None,
        budget: Budget | None = None,
        approval_handler: ApprovalHandler | None = None,
    ) -> None:
        self._permissions = permitting.user_aware(AllowAll() if permissions is None else permissions)
        self._hooks = hooking.user_aware(hooks) if hooks is not None else HookRegistry()
        self._budget = reserving(NoBudget() if budget is None else budget)
        self._approval_handler = approval_handler
        self._has_no_rules = type(self._permissions) is AllowAll
        self._has_no_limits = type(self._budget) is NoBudget
        self._settles_at_once = type(self._budget) is StandardBudget  # a scope would cost more than to settle does

    @property
    def is_open(self) -> bool:
        return self._has_no_rules and self._has_no_limits and self._has_no_hooks

    @property
    def _has_no_hooks(self) -> bool:
        return isinstance(self._hooks, HookRegistry) and self._hooks.is_empty

    async def check(self, action: Action, *, observer: Observer | None = None, waits: bool = False) -> Verdict:
        """The verdict on one action. Asks the approval handler when a person must decide."""
        if isinstance(action, ModelAction):
            return await self._reserve(action, observer)
        verdict = await self._judge(action)
        if isinstance(verdict, Deny):
            await _report(observer, Decided(action, verdict))
        if not isinstance(verdict, Ask):
            return verdict
        await _report(observer, Asked(action, verdict))
        if self._approval_handler is None:
            return verdict if waits else await _refuse_unattended(action, verdict, observer)
        decision = await self._person(action)
        return await self._conclude(action, decision, verdict, observer)

    async def decide(
        self, action: ToolAction, question: Ask, decision: Decision, *, observer: Observer | None = None
    ) -> Allow | Deny | Answer:
        """What a person's decision means for a call that was asked about, on another day perhaps.

        The permissions that deny by now hold against the person as well. The hooks have seen the call when it was asked
        about, and see it again only if it was edited.
        """
        said = await self._consult_permissions(action)
        if said.deny:
            denied = Deny(said.reason or "denied", by="permissions")
            await _report(observer, Decided(action, denied, decision))
            return denied
        return await self._conclude(action, decision, question, observer)

    async def settle(self, allowed: Allow, usage: Usage | None) -> None:
        """Book what a model call used, or release its reservation. A second time changes nothing."""
        if allowed.reservation is None:
            return
        if self._settles_at_once:
            await self._budget.settle(allowed.reservation, usage)
            return
        with anyio.CancelScope(shield=True):
            await self._budget.settle(allowed.reservation, usage)

    async def returned(self, action: ToolAction, result: ToolResult) -> None:
        """Show a tool's result to the hooks. Their failure is theirs."""
        if self._has_no_hooks:
            return
        try:
            await self._hooks.post_tool(action.call, result, user_id=action.user_id)
        except Exception:
            logger.exception("the hooks after %s failed", action.call.tool)

    async def _reserve(self, action: ModelAction, observer: Observer | None) -> Allow | Deny:
        if self._has_no_limits:
            return _ALLOW
        try:
            answer = await self._budget.reserve(action.estimate, user_id=action.user_id)
        except Exception as error:
            logger.exception("a budget failed")
            answer = BudgetStatus.blocked_(f"the budget failed: {type(error).__name__}")
        if isinstance(answer, Reservation):
            return Allow(reservation=answer)
        denied = Deny(answer.reason or "blocked", by="budget")
        await _report(observer, Decided(action, denied))
        return denied

    async def _judge(self, action: ToolAction) -> Allow | Deny | Ask:
        """Hooks, permissions and the tool itself: the first denial wins, and one question is enough to ask."""
        question: Ask | None = None
        parts: tuple[tuple[Part, _Consult], ...] = (
            ("hooks", self._consult_hooks),
            ("permissions", self._consult_permissions),
        )
        for part, consult in parts:
            said = await consult(action)
            if said.deny:
                return Deny(said.reason or "denied", by=part)
            if said.ask and question is None:
                question = Ask(said.reason or "", said.policy, by=part)
        if question is None and demands_approval(action.call):
            return Ask(f"{action.call.tool}: approval required", by="tool")
        return question or Allow(call=action.call)

    async def _consult_hooks(self, action: ToolAction) -> PermissionDecision:
        if self._has_no_hooks:
            return _SILENT
        try:
            said = await self._hooks.pre_tool(action.call, user_id=action.user_id)
        except Exception as error:
            return _broken(action.call, "hooks", error)
        return said if isinstance(said, PermissionDecision) else _nonsense(action.call, "hooks", said)

    async def _consult_permissions(self, action: ToolAction) -> PermissionDecision:
        if self._has_no_rules:
            return _SILENT
        try:
            said = await self._permissions.check(action.call, context={}, user_id=action.user_id)
        except Exception as error:
            return _broken(action.call, "permissions", error)
        return said if isinstance(said, PermissionDecision) else _nonsense(action.call, "permissions", said)

    async def _person(self, action: ToolAction) -> Decision:
        assert self._approval_handler is not None
        try:
            return decision_of(await self._approval_handler(action.call.shown(), action.user_id))
        except (Exception, CancelledError) as error:
            if is_own_cancellation(error):
                raise
            logger.exception("the approval handler failed on %s", action.call.tool)
            return Reject(f"the approval handler failed: {type(error).__name__}")

    async def _conclude(
        self, action: ToolAction, decision: Decision, question: Ask, observer: Observer | None
    ) -> Allow | Deny | Answer:
        verdict: Allow | Deny | Answer
        match decision:
            case Approve():
                verdict = Allow(call=action.call)
            case Edit(args):
                verdict = await self._edited(action, action.call.model_copy(update={"args": dict(args)}))
            case Reject(reason):
                verdict = Deny(_refusal(question, "approval declined", reason), by="approval")
            case Respond(text):
                verdict = Answer(text)
            case _:
                assert_never(decision)
        await _report(observer, Decided(action, verdict, decision))
        return verdict

    async def _edited(self, action: ToolAction, call: ToolCall) -> Allow | Deny:
        """The edited call, unless a rule denies it. It was a person who wrote it: nobody is asked again."""
        verdict = await self._judge(replace(action, call=call))
        return verdict if isinstance(verdict, Deny) else Allow(call=call)


_ALLOW = Allow()
_SILENT = PermissionDecision.allow_()


async def _refuse_unattended(action: ToolAction, question: Ask, observer: Observer | None) -> Deny:
    denied = Deny(_refusal(question, "approval required; no approver"), by="approval")
    await _report(observer, Decided(action, denied))
    return denied


def _refusal(question: Ask, happened: str, said: str = "") -> str:
    """What the model reads: the words of the rule that asked, else what happened; then those of the person."""
    return "; ".join(filter(None, (question.reason or happened, said)))


def _broken(call: ToolCall, part: Part, error: Exception) -> PermissionDecision:
    logger.error("the %s failed on %s", part, call.tool, exc_info=error)
    return PermissionDecision.deny_(f"{call.tool}: the {part} failed: {type(error).__name__}")


def _nonsense(call: ToolCall, part: Part, said: object) -> PermissionDecision:
    return PermissionDecision.deny_(f"{call.tool}: the {part} answered {type(said).__name__}, not a PermissionDecision")


async def _report(observer: Observer | None, what: Asked | Decided) -> None:
    if observer is not None:
        await observer(what)
