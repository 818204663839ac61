"""The rules that need no person and no money."""

from __future__ import annotations

from typing import Any

import pytest

from governance.core.permissions import (
    AllowAll,
    Mode,
    PerUserPermissions,
    StandardPermissions,
    resolve_permissions,
)
from loom.errors import ConfigError
from loom.messages import ToolCall, ToolDef


def call(tool: str, **flags: Any) -> ToolCall:
    return ToolCall(tool=tool, tool_def=ToolDef(name=tool, description="", **flags))


@pytest.mark.parametrize(
    ("permissions", "asked", "decision", "reason"),
    [
        (StandardPermissions(denied_tools=["bash"]), call("bash"), "deny", "bash: denied by policy"),
        (
            StandardPermissions(mode=Mode.BYPASS, denied_tools=["bash"]),
            call("bash"),
            "deny",
            "bash: denied by policy",
        ),
        (StandardPermissions(allowed_tools=["read"]), call("bash"), "deny", "bash: not in allow-list"),
        (StandardPermissions(allowed_tools=[]), call("read"), "deny", "read: not in allow-list"),
        (StandardPermissions(mode=Mode.BYPASS), call("wipe", destructive=True), "allow", None),
        (StandardPermissions(mode=Mode.ACCEPT_EDITS), call("wipe", destructive=True), "allow", None),
        (
            StandardPermissions.strict(),
            call("wipe", destructive=True),
            "ask",
            "wipe: destructive call requires approval",
        ),
        (StandardPermissions(), ToolCall(tool="wipe", destructive=True), "ask", None),
        (StandardPermissions(), call("tidy", destructive=True, approval=False), "allow", None),
        (StandardPermissions(), call("read"), "allow", None),
    ],
)
async def test_the_rules_are_looked_at_in_their_order(
    permissions: StandardPermissions, asked: ToolCall, decision: str, reason: str | None
) -> None:
    said = await permissions.check(asked, context={}, user_id=None)

    assert said.decision == decision
    assert reason in {said.reason, None}


async def test_each_user_has_his_own_rule_and_the_rest_the_default() -> None:
    permissions = PerUserPermissions(
        policies={"ann": "bypass", None: StandardPermissions(allowed_tools=[])}, default="strict"
    )
    wipe = call("wipe", destructive=True)

    said = {user: (await permissions.check(wipe, context={}, user_id=user)).decision for user in ("ann", "ben", None)}

    assert said == {"ann": "allow", "ben": "ask", None: "deny"}


async def test_rules_of_each_user_can_be_said_in_data() -> None:
    spec = {"backend": "per_user", "default": "strict", "policies": {"ann": {"denied_tools": ["read"]}}}
    permissions = resolve_permissions(spec)

    said = {user: (await permissions.check(call("read"), context={}, user_id=user)).decision for user in ("ann", "ben")}

    assert said == {"ann": "deny", "ben": "allow"}


def test_rules_are_made_of_names_and_mappings() -> None:
    assert isinstance(resolve_permissions(None), AllowAll)
    assert isinstance(resolve_permissions("allow_all"), AllowAll)
    strict = resolve_permissions("strict")
    assert isinstance(strict, StandardPermissions)
    assert strict.mode is Mode.DEFAULT
    accepting = resolve_permissions({"mode": "acceptEdits", "denied_tools": ["bash"]})
    assert isinstance(accepting, StandardPermissions)
    assert (accepting.mode, accepting.denied_tools) == (Mode.ACCEPT_EDITS, {"bash"})
    assert resolve_permissions(strict) is strict


@pytest.mark.parametrize(
    "spec",
    [
        "lax",
        {"backend": "opa"},
        {"denied": ["bash"]},
        {"mode": "yolo"},
        {"denied_tools": "bash"},
        7,
        AllowAll,
        {"backend": "per_user"},
        {"backend": "per_user", "default": "strict", "policies": ["ann"]},
        {"backend": "per_user", "default": "strict", "policies": {"ann": "lax"}},
        {"backend": "per_user", "mode": "x"},
    ],
)
def test_a_rule_that_does_not_exist_is_refused(spec: Any) -> None:
    with pytest.raises(ConfigError, match="permissions"):
        resolve_permissions(spec)
