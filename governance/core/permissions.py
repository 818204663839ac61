"""Which tools may be called: the rules that need no person and no money."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any, Literal, Protocol, cast, runtime_checkable

from pydantic import BaseModel

from loom.errors import ConfigError, unknown
from loom.legacy import takes, warn_legacy_protocol
from loom.messages import FROZEN, ToolCall


class PermissionDecision(BaseModel):
    """What a rule or a hook says to a call. `ask` leaves it to a person, under the approval policy named, if any."""

    model_config = FROZEN

    decision: Literal["allow", "deny", "ask"]
    reason: str | None = None
    policy: str | None = None

    @property
    def allow(self) -> bool:
        return self.decision == "allow"

    @property
    def deny(self) -> bool:
        return self.decision == "deny"

    @property
    def ask(self) -> bool:
        return self.decision == "ask"

    @classmethod
    def allow_(cls, reason: str | None = None) -> PermissionDecision:
        return cls(decision="allow", reason=reason)

    @classmethod
    def deny_(cls, reason: str) -> PermissionDecision:
        return cls(decision="deny", reason=reason)

    @classmethod
    def ask_(cls, reason: str | None = None, *, policy: str | None = None) -> PermissionDecision:
        return cls(decision="ask", reason=reason, policy=policy)


@runtime_checkable
class Permissions(Protocol):
    """A rule about tool calls. Whatever it raises counts as a denial."""

    async def check(
        self, call: ToolCall, *, context: Mapping[str, Any], user_id: str | None = None
    ) -> PermissionDecision: ...


class Mode(StrEnum):
    """How destructive calls are treated: asked about (default), allowed, or allowed with everything else."""

    DEFAULT = "default"
    ACCEPT_EDITS = "acceptEdits"
    BYPASS = "bypassPermissions"


_ALLOWED = PermissionDecision.allow_()


class AllowAll:
    """No rules. The loop knows this one and does not even ask it."""

    async def check(
        self, call: ToolCall, *, context: Mapping[str, Any], user_id: str | None = None
    ) -> PermissionDecision:
        return _ALLOWED


class StandardPermissions:
    """Lists of tools and a mode: denied, not on the allow-list, bypass, destructive, in this order.

    The deny-list holds in every mode. An empty allow-list allows nothing; None has no list. A call is destructive when
    it or the tool that it names says so; `@tool(approval=False)` takes the question out of that, and of nothing else.
    """

    def __init__(
        self,
        *,
        mode: Mode = Mode.DEFAULT,
        allowed_tools: Collection[str] | None = None,
        denied_tools: Collection[str] | None = None,
    ) -> None:
        self.mode = Mode(mode)
        self.allowed_tools = None if allowed_tools is None else _names("allowed_tools", allowed_tools)
        self.denied_tools = _names("denied_tools", denied_tools or ())

    @classmethod
    def strict(cls) -> StandardPermissions:
        """Every destructive call needs approval."""
        return cls(mode=Mode.DEFAULT)

    async def check(
        self, call: ToolCall, *, context: Mapping[str, Any], user_id: str | None = None
    ) -> PermissionDecision:
        if call.tool in self.denied_tools:
            return PermissionDecision.deny_(f"{call.tool}: denied by policy")
        if self.allowed_tools is not None and call.tool not in self.allowed_tools:
            return PermissionDecision.deny_(f"{call.tool}: not in allow-list")
        exempt = call.tool_def is not None and call.tool_def.approval is False
        if self.mode is Mode.DEFAULT and call.is_destructive() and not exempt:
            return PermissionDecision.ask_(f"{call.tool}: destructive call requires approval")
        return _ALLOWED


class PerUserPermissions:
    """Another rule for each user; who has none gets the default. The key None is the anonymous user."""

    def __init__(self, *, policies: Mapping[str | None, Any], default: Any) -> None:
        self._policies = {user: user_aware(resolve_permissions(policy)) for user, policy in policies.items()}
        self._default = user_aware(resolve_permissions(default))

    async def check(
        self, call: ToolCall, *, context: Mapping[str, Any], user_id: str | None = None
    ) -> PermissionDecision:
        policy = self._policies.get(user_id, self._default)
        return await policy.check(call, context=context, user_id=user_id)


class _WithoutUser:
    """A rule of the older protocol, which is not told the user."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def check(
        self, call: ToolCall, *, context: Mapping[str, Any], user_id: str | None = None
    ) -> PermissionDecision:
        # The older protocol may answer anything; whoever asked checks the class of the answer.
        return cast(PermissionDecision, await self._inner.check(call, context=context))


def user_aware(permissions: Permissions) -> Permissions:
    """The rule itself, or, when its `check` has no `user_id`, a wrapper that leaves it out. Decided once, here."""
    if takes(permissions.check, "user_id"):
        return permissions
    warn_legacy_protocol("Permissions", "check")
    return _WithoutUser(permissions)


_BY_NAME: Mapping[str, Mode | None] = {
    "allow_all": None,
    "strict": Mode.DEFAULT,
    "accept_edits": Mode.ACCEPT_EDITS,
    "bypass": Mode.BYPASS,
}


_KEYS = ("mode", "allowed_tools", "denied_tools")


def resolve_permissions(spec: Any) -> Permissions:
    """A rule from None, a name, a mapping or an instance. Raises ConfigError for anything else."""
    if spec is None:
        return AllowAll()
    if isinstance(spec, str):
        return _from_name(spec)
    if isinstance(spec, Mapping):
        return _from_mapping(spec)
    if isinstance(spec, Permissions) and not isinstance(spec, type):
        return spec
    raise ConfigError(f"permissions: {spec!r} is no name, mapping or object with check()")


def _from_name(name: str) -> Permissions:
    if name not in _BY_NAME:
        raise ConfigError(f"permissions: no policy {name!r}; there are {', '.join(_BY_NAME)}")
    mode = _BY_NAME[name]
    return AllowAll() if mode is None else StandardPermissions(mode=mode)


def _from_mapping(spec: Mapping[str, Any]) -> Permissions:
    options = dict(spec)
    backend = options.pop("backend", "standard")
    if backend == "per_user":
        return _per_user(options)
    for key in options:
        if key not in _KEYS:
            raise unknown("permissions", key, ("backend", *_KEYS))
    if backend == "allow_all":
        if options:
            raise ConfigError("permissions: the backend allow_all takes no lists and no mode; use 'standard'")
        return AllowAll()
    if backend != "standard":
        raise ConfigError(f"permissions: no backend {backend!r}; there are standard, allow_all, per_user")
    if "mode" in options:
        options["mode"] = _mode(options["mode"])
    return StandardPermissions(**options)


def _per_user(options: Mapping[str, Any]) -> Permissions:
    for key in options:
        if key not in ("default", "policies"):
            raise unknown("permissions", key, ("backend", "default", "policies"))
    policies = options.get("policies")
    if "default" not in options or not isinstance(policies, Mapping):
        raise ConfigError("permissions: per_user needs a default and policies, a mapping of user ids to permissions")
    return PerUserPermissions(policies=policies, default=options["default"])


def _mode(value: Any) -> Mode:
    try:
        return Mode(_BY_NAME.get(value) or value)
    except (ValueError, TypeError):
        raise ConfigError(f"permissions: no mode {value!r}; there are {', '.join(Mode)}") from None


def _names(argument: str, names: Collection[str]) -> frozenset[str]:
    if isinstance(names, str):
        raise ConfigError(f"permissions: {argument} is the text {names!r}; give a list of tool names")
    return frozenset(names)
