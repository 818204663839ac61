"""Everything that Loom refuses or fails with.

    LoomError
    ├── Invalid        the request makes no sense          ConfigError, InvalidArguments, OutputValidationError
    ├── NotFound       no such thing, or not yours
    ├── Denied         the rules say no                    PermissionDenied, SandboxError
    ├── Conflict       the thing is not in a state that allows this
    ├── OverBudget     it would cost more than is left     BudgetExceeded
    ├── Unavailable    something outside failed            MCPError, MemoryStoreError
    └── ModelError     a model did not answer              TransientModelError → RateLimitError, PermanentModelError → …

Clients and retry rules read `code`, `facts` and `retryable`; the message is for people. A class without words of its
own says the first line of its docstring.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, ClassVar

from loom.ids import snake


class LoomError(Exception):
    """Something that Loom can name went wrong."""

    retryable: ClassVar[bool] = False
    code: ClassVar[str] = "loom_error"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "code" not in cls.__dict__:
            cls.code = re.sub(r"_error$", "", snake(cls.__name__))

    def __init__(self, message: str = "", **facts: Any) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])
        self.facts = facts


class Invalid(LoomError):
    """The request makes no sense.

    `pointer` in the facts, where present, is the JSON Pointer of the value that is wrong.
    """


class ConfigError(Invalid):
    """The configuration names something that does not exist or does not fit."""


def unknown(what: str, name: object, known: Iterable[str]) -> ConfigError:
    """`what` has nothing of this name; the error says what was probably meant, else what there is."""
    names = sorted(known)
    near = get_close_matches(str(name), names, n=1)
    way_out = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
    return ConfigError(f"{what} has no {str(name)!r}; {way_out}", key=str(name))


class InvalidArguments(Invalid):
    """The arguments do not fit the tool's schema.

    `errors` is a list of `{"pointer": …, "detail": …}`.
    """

    def __init__(self, message: str = "", *, errors: list[dict[str, str]] | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.errors = errors or []


class OutputValidationError(Invalid):
    """The model's answer does not fit the output schema."""

    def __init__(
        self, message: str = "", *, raw: str = "", schema: Any = None, cause: BaseException | None = None
    ) -> None:
        super().__init__(message)
        self.raw, self.schema, self.cause = raw, schema, cause


class FreshnessError(Invalid):
    """A certified value is older than its policy allows."""


class LineageError(Invalid):
    """A certified value comes from a source that its policy does not allow."""


class NotFound(LoomError):
    """There is no such thing, or it is not yours."""


class Denied(LoomError):
    """The rules say no."""


class PermissionDenied(Denied):
    """A tool call was refused."""

    def __init__(self, tool: str, reason: str = "") -> None:
        super().__init__(f"{tool}: {reason or 'denied'}", tool=tool, reason=reason)
        self.tool, self.reason = tool, reason


class SandboxError(Denied):
    """A sandbox layer is missing or refused the call."""


class CancelledByUser(LoomError):
    """Somebody cancelled the run."""


class DeadlineExceeded(LoomError):
    """The run was not done by its deadline."""


class Conflict(LoomError):
    """The thing is not in a state that allows this."""


class RuntimeJournalError(Conflict):
    """The journal and the code disagree."""


class NonDeterminism(RuntimeJournalError):
    """A replayed step is not the step that was recorded under its key."""


class OverBudget(LoomError):
    """It would cost more than is left."""


class BudgetExceeded(OverBudget):
    """A budget does not allow another step."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(f"the budget is spent: {reason}" if reason else "", reason=reason)
        self.reason = reason


class Unavailable(LoomError):
    """Something outside failed; trying again may help."""

    retryable = True


class Interrupted(Unavailable):
    """The platform's own servers are away: the run goes on by itself when they are back, and has not failed."""


class MCPError(Unavailable):
    """An MCP server cannot be reached or answered with an error."""


class MemoryStoreError(Unavailable):
    """A memory store cannot be reached."""


class ToolError(LoomError):
    """A tool failed; the model is told so."""


class ModelError(LoomError):
    """A model did not answer."""

    def __init__(self, message: str = "", *, cause: BaseException | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.cause = cause


class TransientModelError(ModelError):
    """The model's provider failed in a way that may pass.

    `retry_after` is what the provider asked for, in seconds.
    """

    retryable = True
    code = "model_unavailable"

    def __init__(
        self, message: str = "", *, cause: BaseException | None = None, retry_after: float | None = None, **facts: Any
    ) -> None:
        super().__init__(message, cause=cause, **facts)
        self.retry_after = retry_after


class RateLimitError(TransientModelError):
    """The model's provider asks us to slow down."""

    code = "model_rate_limited"


class PermanentModelError(ModelError):
    """The model's provider refused, and would refuse again."""


class AuthenticationError(PermanentModelError):
    """The model's provider does not accept the key."""


class InvalidRequestError(PermanentModelError):
    """The model's provider does not accept the request."""


class ContentFilterError(PermanentModelError):
    """The model's provider filtered the content."""
