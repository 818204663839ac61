"""Code of the user that runs around tools: before (may deny or ask), after, and on every event."""

from __future__ import annotations

import inspect
import logging
import math
import time
from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, cast, runtime_checkable

import anyio

from governance.core.permissions import PermissionDecision
from loom.background import is_own_cancellation
from loom.errors import ConfigError
from loom.events import Event
from loom.legacy import takes, warn_legacy_protocol
from loom.messages import ToolCall, ToolResult

logger = logging.getLogger(__name__)

PreToolHook = Callable[[ToolCall], Awaitable[PermissionDecision | None]]
PostToolHook = Callable[[ToolCall, ToolResult], Awaitable[None]]
EventHook = Callable[[Event], Awaitable[None]]

_SILENT = PermissionDecision.allow_()


@runtime_checkable
class HookHost(Protocol):
    """Something that runs hooks. What `pre_tool` raises counts as a denial; the others must not raise."""

    async def pre_tool(self, call: ToolCall, *, user_id: str | None = None) -> PermissionDecision: ...

    async def post_tool(self, call: ToolCall, result: ToolResult, *, user_id: str | None = None) -> None: ...

    async def on_event(self, event: Event) -> None: ...


@dataclass
class HookRegistry:
    """Hooks in the order of their registration, each with `hook_timeout_s` seconds.

    Before a tool, the first denial wins and ends the round, otherwise one `ask` is enough to ask. A hook that is silent
    or allows grants nothing. A hook that is late, raises or answers something else denies: it was put there to be
    asked. After a tool and on events, a failing hook is logged and forgotten.
    """

    pre_tool_hooks: list[PreToolHook] = field(default_factory=list)
    post_tool_hooks: list[PostToolHook] = field(default_factory=list)
    event_hooks: list[EventHook] = field(default_factory=list)
    hook_timeout_s: float = 5.0

    def __post_init__(self) -> None:
        seconds = self.hook_timeout_s
        if not isinstance(seconds, int | float) or not seconds > 0:  # every hook would be late, and deny
            raise ConfigError(f"hook_timeout_s is {seconds!r}; it is a number of seconds above 0")

    def register_pre_tool(self, hook: PreToolHook) -> PreToolHook:
        self.pre_tool_hooks.append(hook)
        return hook

    def register_post_tool(self, hook: PostToolHook) -> PostToolHook:
        self.post_tool_hooks.append(hook)
        return hook

    def register_event(self, hook: EventHook) -> EventHook:
        self.event_hooks.append(hook)
        return hook

    @property
    def is_empty(self) -> bool:
        """Whether no hook runs around tools."""
        return not (self.pre_tool_hooks or self.post_tool_hooks)

    async def pre_tool(self, call: ToolCall, *, user_id: str | None = None) -> PermissionDecision:
        asked: PermissionDecision | None = None
        for hook in tuple(self.pre_tool_hooks):
            said = await self._ask(hook, call)
            if said.deny:
                return said
            if said.ask:
                asked = asked or said
        return asked or _SILENT

    async def post_tool(self, call: ToolCall, result: ToolResult, *, user_id: str | None = None) -> None:
        for hook in tuple(self.post_tool_hooks):
            await self._tell(hook, call.shown(), result)

    async def on_event(self, event: Event) -> None:
        for hook in tuple(self.event_hooks):
            await self._tell(hook, event)

    async def _ask(self, hook: PreToolHook, call: ToolCall) -> PermissionDecision:
        try:
            said = await self._in_time(hook, call.shown())
        except TimeoutError:
            return PermissionDecision.deny_(f"{call.tool}: the hook {_name(hook)} did not answer in time")
        except (Exception, CancelledError) as error:
            if is_own_cancellation(error):
                raise
            logger.exception("a hook failed before a tool")
            return PermissionDecision.deny_(f"{call.tool}: the hook {_name(hook)} failed: {type(error).__name__}")
        if said is None:
            return _SILENT
        if isinstance(said, PermissionDecision):
            return said
        return PermissionDecision.deny_(
            f"{call.tool}: the hook {_name(hook)} answered {type(said).__name__}, not a PermissionDecision"
        )

    async def _tell(self, hook: Callable[..., Any], *args: Any) -> None:
        try:
            await self._in_time(hook, *args)
        except (Exception, CancelledError) as error:
            if is_own_cancellation(error):
                raise
            logger.exception("the hook %s failed", _name(hook))

    async def _in_time(self, hook: Callable[..., Any], *args: Any) -> Any:
        """What a hook says. Raises TimeoutError when it is late; a plain function cannot be stopped, only be late."""
        began = time.monotonic()
        with anyio.move_on_after(self.hook_timeout_s) as clock:
            said = hook(*args)
            said = await said if inspect.isawaitable(said) else said
        if clock.cancelled_caught or time.monotonic() - began > self.hook_timeout_s:
            raise TimeoutError
        return said


def joined(outer: HookRegistry, inner: HookRegistry) -> HookRegistry:
    """The hooks of a run and of one who works for it: all of them are asked and told, each with the time it is given.

    Whoever watches his own calls does not take a guard away that others have put before them.
    """
    around = outer.parts if isinstance(outer, _Joined) else (outer,)
    if inner.is_empty or any(inner is part for part in around):
        return outer
    return inner if outer.is_empty else _Joined((*around, inner))


class _Joined(HookRegistry):
    """Several registries as one."""

    def __init__(self, parts: tuple[HookRegistry, ...]) -> None:
        super().__init__([one.pre_tool for one in parts], [one.post_tool for one in parts], hook_timeout_s=math.inf)
        self.parts = parts

    async def pre_tool(self, call: ToolCall, *, user_id: str | None = None) -> PermissionDecision:
        asked: list[PreToolHook] = [partial(one.pre_tool, user_id=user_id) for one in self.parts]
        return await HookRegistry(asked, hook_timeout_s=math.inf).pre_tool(call)

    async def post_tool(self, call: ToolCall, result: ToolResult, *, user_id: str | None = None) -> None:
        for one in self.parts:
            await self._tell(partial(one.post_tool, user_id=user_id), call, result)


class _WithoutUser:
    """A hook host of the older protocol, which is not told the user."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._pre = takes(inner.pre_tool, "user_id")
        self._post = takes(inner.post_tool, "user_id")

    async def pre_tool(self, call: ToolCall, *, user_id: str | None = None) -> PermissionDecision:
        said = self._inner.pre_tool(call, user_id=user_id) if self._pre else self._inner.pre_tool(call)
        # The older protocol may answer anything; whoever asked checks the class of the answer.
        return cast(PermissionDecision, await said)

    async def post_tool(self, call: ToolCall, result: ToolResult, *, user_id: str | None = None) -> None:
        if self._post:
            await self._inner.post_tool(call, result, user_id=user_id)
        else:
            await self._inner.post_tool(call, result)

    async def on_event(self, event: Event) -> None:
        await self._inner.on_event(event)


def user_aware(hooks: HookHost) -> HookHost:
    """The host itself, or, when a method has no `user_id`, a wrapper that leaves it out. Decided once, here."""
    if isinstance(hooks, HookRegistry):
        return hooks
    if not takes(hooks.pre_tool, "user_id"):
        warn_legacy_protocol("HookHost", "pre_tool")
    elif takes(hooks.post_tool, "user_id"):
        return hooks
    return _WithoutUser(hooks)


def _name(hook: Callable[..., Any]) -> str:
    hook = hook.func if isinstance(hook, partial) else hook
    return getattr(hook, "__qualname__", type(hook).__qualname__).rpartition(".")[2]
