"""Who a run is for. It travels in the one context variable that Loom has; nothing in the cores decides by it."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class _Sentinel(Enum):
    UNSET = 0


_UNSET = _Sentinel.UNSET


class IsolationWarning(UserWarning):
    """Memory was asked without a user although it holds rows of named users."""


class LoomDeprecationWarning(DeprecationWarning):
    """Something of an older version of the public contract is still in use."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """The user, the conversation and the run in hand.

    `user_id` None is a bucket of its own, never a wildcard. `idempotency_key` is set while a tool runs: the same call
    gets the same key after a crash, so the tool can hand it to the system it changes.
    """

    user_id: str | None = None
    session_id: str | None = None
    run_id: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None

    def with_overrides(
        self,
        *,
        user_id: str | _Sentinel | None = _UNSET,
        session_id: str | _Sentinel | None = _UNSET,
        run_id: str | _Sentinel = _UNSET,
        metadata: Mapping[str, Any] | _Sentinel = _UNSET,
        idempotency_key: str | _Sentinel | None = _UNSET,
    ) -> RunContext:
        """The same context with some fields replaced. A field that is not named stays, so None can be set."""
        return RunContext(
            user_id=self.user_id if isinstance(user_id, _Sentinel) else user_id,
            session_id=self.session_id if isinstance(session_id, _Sentinel) else session_id,
            run_id=self.run_id if isinstance(run_id, _Sentinel) else run_id,
            metadata=self.metadata if isinstance(metadata, _Sentinel) else metadata,
            idempotency_key=self.idempotency_key if isinstance(idempotency_key, _Sentinel) else idempotency_key,
        )

    def get(self, key: str, default: Any = None) -> Any:
        """A value of the metadata."""
        return self.metadata.get(key, default)


_EMPTY = RunContext()
_current: ContextVar[RunContext] = ContextVar("loom_run_context", default=_EMPTY)


def get_run_context() -> RunContext:
    """The context of the run in hand; an empty one outside of any."""
    return _current.get()


class set_run_context:
    """Make a context current for a block of code: `with` or `async with`."""

    __slots__ = ("_context", "_token")

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._token: Token[RunContext] | None = None

    def __enter__(self) -> RunContext:
        self._token = _current.set(self._context)
        return self._context

    def __exit__(self, *exc_info: object) -> None:
        if self._token is not None:
            _current.reset(self._token)
            self._token = None

    async def __aenter__(self) -> RunContext:
        return self.__enter__()

    async def __aexit__(self, *exc_info: object) -> None:
        self.__exit__()
