"""The one question before each model call and each tool call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from governance.core.approvals import Approve, Decision, Edit, Reject, Respond
from governance.core.budget import BudgetConfig, NoBudget
from governance.core.gate import (
    Allow,
    Answer,
    Ask,
    Asked,
    Decided,
    Deny,
    Gate,
    ModelAction,
    StandardGate,
    ToolAction,
    demands_approval,
)
from governance.core.hooks import HookRegistry
from governance.core.permissions import (
    AllowAll,
    Mode,
    PermissionDecision,
    PerUserPermissions,
    StandardPermissions,
)
from governance.core.standard_budget import StandardBudget
from loom.context import LoomDeprecationWarning
from loom.errors import ConfigError
from loom.messages import ToolCall, ToolDef, ToolResult, Usage


def action(tool: str = "wipe", *, user_id: str | None = "ann", args: dict[str, Any] | None = None, **flags: Any) -> Any:
    tool_def = ToolDef(name=tool, description="", **flags)
    return ToolAction(call=ToolCall(tool=tool, args=args or {}, tool_def=tool_def), user_id=user_id)


class Handler:
    """An approver that remembers what it was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str | None]] = []

    async def __call__(self, call: ToolCall, user_id: str | None) -> Any:
        self.asked.append((call.tool, user_id))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Watch:
    def __init__(self) -> None:
        self.seen: list[Asked | Decided] = []

    async def __call__(self, what: Asked | Decided) -> None:
        self.seen.append(what)


async def test_a_destructive_tool_asks_although_the_model_did_not_say_so() -> None:
    handler = Handler(True)
    gate = StandardGate(permissions=StandardPermissions(), approval_handler=handler)

    verdict = await gate.check(action(destructive=True))

    assert isinstance(verdict, Allow)
    assert handler.asked == [("wipe", "ann")]


async def test_a_destructive_tool_does_not_run_without_an_approver() -> None:
    gate = StandardGate(permissions=StandardPermissions())

    verdict = await gate.check(action(destructive=True))

    assert verdict == Deny("wipe: destructive call requires approval", by="approval")


async def test_a_silent_hook_does_not_grant_what_permissions_ask() -> None:
    seen = []

    async def log(call: ToolCall, result: ToolResult) -> None:
        seen.append(call.tool)

    hooks = HookRegistry()
    hooks.register_post_tool(log)
    handler = Handler(False)
    gate = StandardGate(permissions=StandardPermissions(), hooks=hooks, approval_handler=handler)

    verdict = await gate.check(action(destructive=True))

    assert isinstance(verdict, Deny)
    assert handler.asked == [("wipe", "ann")]


async def test_a_hook_that_allows_does_not_grant_what_permissions_ask() -> None:
    async def allow(call: ToolCall) -> PermissionDecision:
        return PermissionDecision.allow_()

    gate = StandardGate(permissions=StandardPermissions(), hooks=HookRegistry([allow]))

    assert isinstance(await gate.check(action(destructive=True)), Deny)


async def test_a_hook_that_asks_asks_although_permissions_allow() -> None:
    async def ask(call: ToolCall) -> PermissionDecision:
        return PermissionDecision.ask_("looks odd")

    handler = Handler(False)
    gate = StandardGate(hooks=HookRegistry([ask]), approval_handler=handler)

    verdict = await gate.check(action("read"))

    assert verdict == Deny("looks odd", by="approval")
    assert handler.asked == [("read", "ann")]


async def test_a_plain_function_that_is_late_denies_too() -> None:
    def dawdle(call: ToolCall) -> None:
        time.sleep(0.05)

    gate = StandardGate(hooks=HookRegistry([dawdle], hook_timeout_s=0.001))

    assert await gate.check(action("read")) == Deny("read: the hook dawdle did not answer in time", by="hooks")


async def test_a_hook_that_does_not_answer_in_time_denies() -> None:
    async def dream(call: ToolCall) -> None:
        await anyio.sleep_forever()

    gate = StandardGate(hooks=HookRegistry([dream], hook_timeout_s=0.01))

    verdict = await gate.check(action("read"))

    assert isinstance(verdict, Deny)
    assert verdict.by == "hooks"
    assert "dream did not answer in time" in verdict.reason


@pytest.mark.parametrize("answer", [True, "yes", 1])
async def test_a_hook_that_answers_nonsense_denies(answer: Any) -> None:
    async def odd(call: ToolCall) -> Any:
        return answer

    verdict = await StandardGate(hooks=HookRegistry([odd])).check(action("read"))

    assert isinstance(verdict, Deny)


async def test_a_hook_that_raises_denies() -> None:
    async def broken(call: ToolCall) -> None:
        raise TypeError("unsupported operand")

    verdict = await StandardGate(hooks=HookRegistry([broken])).check(action("read"))

    assert isinstance(verdict, Deny)
    assert "broken failed: TypeError" in verdict.reason


async def test_the_first_denial_of_a_hook_ends_the_round() -> None:
    asked = []

    async def ask(call: ToolCall) -> PermissionDecision:
        asked.append("ask")
        return PermissionDecision.ask_("?")

    async def deny(call: ToolCall) -> PermissionDecision:
        asked.append("deny")
        return PermissionDecision.deny_("never on Fridays")

    async def late(call: ToolCall) -> None:
        asked.append("late")

    gate = StandardGate(hooks=HookRegistry([ask, deny, late]), approval_handler=Handler(True))

    assert await gate.check(action("read")) == Deny("never on Fridays", by="hooks")
    assert asked == ["ask", "deny"]


async def test_a_plain_function_can_be_a_hook() -> None:
    seen = []
    gate = StandardGate(hooks=HookRegistry([lambda call: seen.append(call.tool)]))  # type: ignore[arg-type,list-item,return-value]

    assert isinstance(await gate.check(action("read")), Allow)
    assert seen == ["read"]


async def test_a_type_error_inside_a_policy_denies_and_never_runs_it_again_without_the_user() -> None:
    saw = []

    class Policy:
        async def check(
            self, call: ToolCall, *, context: Mapping[str, Any], user_id: str | None = None
        ) -> PermissionDecision:
            saw.append(user_id)
            raise TypeError("'<' not supported between instances of 'str' and 'int'")

    gate = StandardGate(permissions=PerUserPermissions(policies={"ann": Policy()}, default=AllowAll()))

    verdict = await gate.check(action("read"))

    assert isinstance(verdict, Deny)
    assert "permissions failed: TypeError" in verdict.reason
    assert saw == ["ann"]


async def test_a_type_error_inside_a_host_of_hooks_denies_and_never_asks_it_again_without_the_user() -> None:
    saw = []

    class Host(HookRegistry):
        async def pre_tool(self, call: ToolCall, *, user_id: str | None = None) -> PermissionDecision:
            saw.append(user_id)
            raise TypeError("a bug")

    gate = StandardGate(hooks=Host([lambda call: None]))  # type: ignore[arg-type,list-item,return-value]

    verdict = await gate.check(action("read"))

    assert isinstance(verdict, Deny)
    assert "hooks failed: TypeError" in verdict.reason
    assert saw == ["ann"]


async def test_a_policy_of_the_older_protocol_is_recognised_when_it_is_handed_in() -> None:
    class Older:
        async def check(self, call: ToolCall, *, context: Mapping[str, Any]) -> PermissionDecision:
            return PermissionDecision.deny_("old rules")

    with pytest.warns(LoomDeprecationWarning, match=r"Permissions\.check"):
        gate = StandardGate(permissions=Older())  # type: ignore[arg-type]

    assert await gate.check(action("read")) == Deny("old rules", by="permissions")


async def test_a_policy_that_answers_nothing_denies() -> None:
    class Empty:
        async def check(self, call: ToolCall, *, context: Mapping[str, Any], user_id: str | None = None) -> Any:
            return None

    assert isinstance(await StandardGate(permissions=Empty()).check(action("read")), Deny)


async def test_a_tool_can_demand_approval_where_nothing_else_is_wired() -> None:
    gate = StandardGate()
    gated = action("pay", approval=True)

    assert demands_approval(gated.call)
    assert await gate.check(gated) == Deny("pay: approval required", by="approval")


@pytest.mark.parametrize("seconds", [0, None, float("nan"), "5"])
def test_a_time_that_gives_hooks_none_is_refused(seconds: Any) -> None:
    with pytest.raises(ConfigError, match="hook_timeout_s"):
        HookRegistry(hook_timeout_s=seconds)


async def _wait_for_a_cancelled_task(*_: Any) -> None:
    task = asyncio.ensure_future(asyncio.sleep(10))
    task.cancel()
    await task


@pytest.mark.parametrize("by", ["hooks", "approval"])
async def test_who_waits_for_a_task_that_is_cancelled_has_failed_and_does_not_cancel_the_run(by: str) -> None:
    hooks = HookRegistry([_wait_for_a_cancelled_task if by == "hooks" else _asking])
    gate = StandardGate(hooks=hooks, approval_handler=_wait_for_a_cancelled_task)

    verdict = await gate.check(action("read"))

    assert isinstance(verdict, Deny)
    assert "failed: CancelledError" in verdict.reason


async def test_a_hook_after_a_tool_that_waits_for_a_cancelled_task_ends_nothing() -> None:
    gate = StandardGate(hooks=HookRegistry([], [_wait_for_a_cancelled_task]))

    await gate.returned(action("read"), ToolResult.success("", "ok"))


@pytest.mark.parametrize("by", ["hooks", "approval"])
async def test_a_run_that_is_cancelled_while_somebody_is_asked_is_cancelled(by: str) -> None:
    async def wait(*_: Any) -> None:
        await anyio.sleep(10)

    gate = StandardGate(hooks=HookRegistry([wait if by == "hooks" else _asking]), approval_handler=wait)
    task = asyncio.ensure_future(gate.check(action("read")))
    await asyncio.sleep(0.01)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def _asking(call: ToolCall) -> PermissionDecision:
    return PermissionDecision.ask_()


async def test_who_is_asked_about_a_call_cannot_change_it() -> None:
    seen: list[dict[str, Any]] = []

    async def scribble(call: ToolCall, user_id: str | None = None) -> Any:
        seen.append(dict(call.args))
        call.args["to"] = "eve"
        return PermissionDecision.ask_() if user_id is None else True

    asked = action(args={"to": "bob"})
    gate = StandardGate(hooks=HookRegistry([scribble, scribble]), approval_handler=scribble)
    verdict = await gate.check(asked)

    assert isinstance(verdict, Allow)
    assert verdict.call is not None
    assert verdict.call.args == {"to": "bob"}
    assert seen == [{"to": "bob"}] * 3


async def test_bypass_does_not_grant_what_the_tool_demands() -> None:
    handler = Handler(False)
    gate = StandardGate(permissions=StandardPermissions(mode=Mode.BYPASS), approval_handler=handler)

    assert isinstance(await gate.check(action("pay", approval=True)), Deny)
    assert handler.asked


@pytest.mark.parametrize("answer", [False, None, "yes", 1, RuntimeError("down"), Edit(None), Edit("x")])  # type: ignore[arg-type]
async def test_only_a_clear_yes_approves(answer: Any) -> None:
    gate = StandardGate(permissions=StandardPermissions(), approval_handler=Handler(answer))

    verdict = await gate.check(action(destructive=True))

    assert isinstance(verdict, Deny)
    assert verdict.by == "approval"


async def test_an_edit_replaces_the_arguments_entirely() -> None:
    gate = StandardGate(permissions=StandardPermissions(), approval_handler=Handler(Edit({"path": "b"})))

    verdict = await gate.check(action(destructive=True, args={"path": "a", "force": True}))

    assert isinstance(verdict, Allow)
    assert verdict.call is not None
    assert verdict.call.args == {"path": "b"}


async def test_the_rules_look_at_an_edited_call_again() -> None:
    class NotTheRoot:
        async def check(
            self, call: ToolCall, *, context: Mapping[str, Any], user_id: str | None = None
        ) -> PermissionDecision:
            if call.args["path"] == "/":
                return PermissionDecision.deny_("not the root")
            return PermissionDecision.ask_("wipe?")

    gate = StandardGate(permissions=NotTheRoot(), approval_handler=Handler(Edit({"path": "/"})))

    assert await gate.check(action(args={"path": "a"})) == Deny("not the root", by="permissions")


async def test_a_person_can_answer_instead_of_the_tool() -> None:
    gate = StandardGate(permissions=StandardPermissions(), approval_handler=Handler(Respond("use the archive")))

    assert await gate.check(action(destructive=True)) == Answer("use the archive")


async def test_a_rejection_tells_the_model_why() -> None:
    gate = StandardGate(permissions=StandardPermissions(), approval_handler=Handler(Reject("we still need it")))

    verdict = await gate.check(action(destructive=True))

    assert verdict == Deny("wipe: destructive call requires approval; we still need it", by="approval")


async def test_a_question_without_words_is_refused_in_ours() -> None:
    async def ask(call: ToolCall) -> PermissionDecision:
        return PermissionDecision.ask_()

    async def refused(handler: Handler | None) -> Any:
        return await StandardGate(hooks=HookRegistry([ask]), approval_handler=handler).check(action("read"))

    assert await refused(None) == Deny("approval required; no approver", by="approval")
    assert await refused(Handler(False)) == Deny("approval declined", by="approval")
    assert await refused(Handler(Reject("not today"))) == Deny("approval declined; not today", by="approval")


async def test_a_caller_that_can_wait_gets_the_question_and_later_the_verdict() -> None:
    gate = StandardGate(permissions=StandardPermissions())
    gated = action(destructive=True)

    verdict = await gate.check(gated, waits=True)

    assert verdict == Ask("wipe: destructive call requires approval", by="permissions")
    assert isinstance(await gate.decide(gated, verdict, Approve()), Allow)
    assert await gate.decide(gated, verdict, Reject("no")) == Deny(f"{verdict.reason}; no", by="approval")


async def test_a_question_names_the_approval_policy_of_the_rule_that_asks() -> None:
    class FourEyes:
        async def check(
            self, call: ToolCall, *, context: Mapping[str, Any], user_id: str | None = None
        ) -> PermissionDecision:
            return PermissionDecision.ask_("large sum", policy="four-eyes")

    gate = StandardGate(permissions=FourEyes())

    assert await gate.check(action("pay"), waits=True) == Ask("large sum", "four-eyes", by="permissions")


async def test_an_approval_does_not_help_against_a_rule_that_denies() -> None:
    gate = StandardGate(permissions=StandardPermissions(denied_tools=["wipe"]))

    assert await gate.decide(action(), Ask("really?"), Approve()) == Deny("wipe: denied by policy", by="permissions")


@pytest.mark.parametrize(("answer", "decision"), [(True, Approve()), (False, Reject()), (Respond("x"), Respond("x"))])
async def test_every_question_and_every_decision_is_reported(answer: Any, decision: Decision) -> None:
    watch = Watch()
    gate = StandardGate(permissions=StandardPermissions(), approval_handler=Handler(answer))

    verdict = await gate.check(action(destructive=True), observer=watch)

    asked, decided = watch.seen
    assert isinstance(asked, Asked)
    assert asked.question.reason == "wipe: destructive call requires approval"
    assert isinstance(decided, Decided)
    assert (decided.verdict, decided.decision) == (verdict, decision)


async def test_a_denial_without_a_question_is_reported_and_a_plain_permission_is_not() -> None:
    watch = Watch()
    gate = StandardGate(permissions=StandardPermissions(denied_tools=["wipe"]))

    await gate.check(action("read"), observer=watch)
    await gate.check(action("wipe"), observer=watch)

    assert [type(what) for what in watch.seen] == [Decided]


async def test_hooks_see_the_result_and_their_failure_is_theirs() -> None:
    seen = []

    async def broken(call: ToolCall, result: ToolResult) -> None:
        raise RuntimeError("disk full")

    async def log(call: ToolCall, result: ToolResult) -> None:
        seen.append((call.tool, result.output))

    gate = StandardGate(hooks=HookRegistry(post_tool_hooks=[broken, log]))
    done = action("read")

    await gate.returned(done, ToolResult.success(done.call.id, "text"))

    assert seen == [("read", "text")]


async def test_a_blocked_budget_denies_the_model_call_and_names_the_limit() -> None:
    budget = StandardBudget(BudgetConfig(max_tokens=10))
    await budget.consume(tokens_in=6, tokens_out=4, cost_usd=0)

    assert await StandardGate(budget=budget).check(ModelAction()) == Deny("max_tokens", by="budget")


async def test_a_model_call_is_booked_on_the_user_it_was_made_for() -> None:
    budget = StandardBudget(BudgetConfig(per_user_max_tokens=100))
    gate = StandardGate(budget=budget)

    allowed = await gate.check(ModelAction(user_id="ann"))
    assert isinstance(allowed, Allow)
    await gate.settle(allowed, Usage(input_tokens=60, output_tokens=40))
    await gate.settle(allowed, Usage(input_tokens=60, output_tokens=40))

    assert budget.usage_for("ann")["tokens_total"] == 100
    assert budget.usage_for(None)["tokens_total"] == 0
    assert await gate.check(ModelAction(user_id="ann")) == Deny("per_user_max_tokens", by="budget")
    assert isinstance(await gate.check(ModelAction(user_id="ben")), Allow)


async def test_a_type_error_inside_a_budget_is_not_answered_by_booking_twice() -> None:
    calls = []

    class Odd:
        async def allows_step(self, *, user_id: str | None = None) -> Any:
            calls.append(user_id)
            raise TypeError("inside")

        async def consume(self, **used: Any) -> None:
            raise AssertionError("nothing was used")

    verdict = await StandardGate(budget=Odd()).check(ModelAction(user_id="ann"))

    assert verdict == Deny("the budget failed: TypeError", by="budget")
    assert calls == ["ann"]


async def test_a_gate_with_nothing_wired_is_open_until_a_hook_is_added() -> None:
    hooks = HookRegistry()
    gate = StandardGate(permissions=AllowAll(), hooks=hooks, budget=NoBudget())
    assert gate.is_open
    assert isinstance(gate, Gate)

    hooks.register_pre_tool(lambda call: None)  # type: ignore[arg-type,return-value]

    assert not gate.is_open
    assert not StandardGate(permissions=StandardPermissions()).is_open
    assert not StandardGate(budget=StandardBudget()).is_open
