"""When a model call is tried again: the policy, the wait, and which failures may pass.

`classify_model_error` turns what provider clients raise into ours. It knows them by class name, status and headers, so
that none of them has to be imported: openai, anthropic, litellm, httpx and httpx2.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from loom.errors import (
    AuthenticationError,
    ConfigError,
    ContentFilterError,
    InvalidRequestError,
    ModelError,
    PermanentModelError,
    RateLimitError,
    TransientModelError,
)
from loom.messages import utcnow

MAX_RETRY_AFTER_SECONDS = 60.0
_MESSAGE_LENGTH = 300


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a failed model call is repeated. `max_attempts` counts the first one too."""

    max_attempts: int = 3
    initial_delay_s: float = 1.0
    max_delay_s: float = 30.0
    multiplier: float = 2.0
    jitter: float = 0.1

    def __post_init__(self) -> None:
        if isinstance(self.max_attempts, bool) or not isinstance(self.max_attempts, int) or self.max_attempts < 0:
            raise ConfigError(
                f"RetryPolicy.max_attempts is {self.max_attempts!r}; it must be a whole number of at least 0"
            )
        for name in ("initial_delay_s", "max_delay_s", "multiplier", "jitter"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"RetryPolicy.{name} is {value!r}; it must be a finite number of at least 0")

    @classmethod
    def disabled(cls) -> RetryPolicy:
        return cls(max_attempts=1)

    @classmethod
    def aggressive(cls) -> RetryPolicy:
        return cls(max_attempts=6, initial_delay_s=0.5, max_delay_s=60.0)

    def is_enabled(self) -> bool:
        return self.max_attempts >= 2


def compute_backoff(
    policy: RetryPolicy, attempt: int, *, retry_after: float | None = None, rng: random.Random | None = None
) -> float:
    """Seconds to wait after the given failed attempt, the first being 1.

    What the provider asked for wins when it is longer, even over the policy's cap.
    """
    try:
        grown = policy.initial_delay_s * policy.multiplier ** (max(attempt, 1) - 1)
    except OverflowError:
        grown = policy.max_delay_s
    spread = (rng or random).uniform(1 - policy.jitter, 1 + policy.jitter)
    delay = max(min(grown, policy.max_delay_s) * spread, 0.0)
    return delay if retry_after is None else max(delay, retry_after)


def classify_model_error(exc: BaseException, *, now: Callable[[], datetime] = utcnow) -> ModelError | None:
    """The ModelError that a client's exception means; None for an exception that no known client raises.

    A ModelError is returned as it is. `retry_after` is read from the response's headers and is at most 60 seconds:
    an absurd wish cannot park a run. `facts` carry `provider`, `status`, `error_type`, `request_id` where known, and
    `too_long` when the request does not fit the model.
    """
    if isinstance(exc, ModelError):
        return exc
    failure = _read(exc)
    if failure is None:
        return None
    kind = _kind(failure)
    if kind is None:
        return None
    facts: dict[str, Any] = {**failure.facts, "cause": exc}
    if issubclass(kind, TransientModelError):
        return kind(failure.message, retry_after=_retry_after(failure.headers, now), **facts)
    return kind(failure.message, **facts)


_PACKAGES = frozenset({"openai", "anthropic", "litellm", "httpx", "httpx2"})
_FILTERED = frozenset({"content_filter", "content_policy_violation", "ContentPolicyViolationError"}) | {
    "ContentFilterFinishReasonError",
    "ResponsibleAIPolicyViolation",
}
_TOO_LONG = frozenset({"context_length_exceeded", "ContextWindowExceededError"})
_UNSENDABLE = frozenset({"UnsupportedProtocol", "LocalProtocolError", "InvalidURL", "TooManyRedirects"})
_BROKEN = frozenset({"TransportError", "DecodingError", "APIError"})
# An error inside a stream arrives under status 200 or none; its type says which status it would have had.
_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "timeout_error": 408,
    "conflict_error": 409,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "api_error": 500,
    "server_error": 500,
    "overloaded_error": 529,
}
_STATUS = re.compile(r"[45]\d\d")  # OpenRouter and others send the status itself as the error's code
_TRANSIENT = frozenset({408, 409, 425})


@dataclass(frozen=True, slots=True)
class _Failure:
    names: frozenset[str]
    words: frozenset[str]
    status: int | None
    headers: Mapping[str, str]
    message: str
    facts: Mapping[str, Any]


def _read(exc: BaseException) -> _Failure | None:
    names = _client_names(exc)
    if not names:
        return None
    words = _error_words(exc)
    status = _status(exc, words)
    headers = _headers(exc)
    error_type = next((word for word in words if word in _STATUS_OF_TYPE), None)
    provider = str(getattr(exc, "llm_provider", "") or _package(type(exc)) or "the model's provider")
    facts: dict[str, Any] = {
        "provider": provider,
        "status": status,
        "error_type": error_type,
        "request_id": headers.get("request-id") or headers.get("x-request-id"),
    }
    text = " ".join(str(exc).split())[:_MESSAGE_LENGTH] or type(exc).__name__
    # Anthropic has no code for it, only these words.
    if status == 413 or _TOO_LONG & {*names, *words} or (status == 400 and "prompt is too long" in text):
        facts["too_long"] = True
    answered = f"answered {status}" if status else f"failed with {type(exc).__name__}"
    return _Failure(
        names=names | (_client_names(exc.__cause__) if exc.__cause__ else frozenset()),
        words=frozenset(words),
        status=status,
        headers=headers,
        message=f"{provider} {answered}: {text}",
        facts={name: value for name, value in facts.items() if value is not None},
    )


def _kind(failure: _Failure) -> type[ModelError] | None:
    if _FILTERED & (failure.names | failure.words):
        return ContentFilterError
    if failure.status is not None:
        return _kind_of_status(failure)
    if failure.names & _UNSENDABLE:
        return PermanentModelError
    if "CredentialsError" in failure.names:
        return AuthenticationError
    return TransientModelError if failure.names & _BROKEN else None


def _kind_of_status(failure: _Failure) -> type[ModelError]:
    status = failure.status or 0
    if status in {401, 403}:
        return AuthenticationError
    if status == 429 or status in _TRANSIENT or status >= 500:
        # Both say themselves that a repetition is pointless: an account without credit, a header that forbids it.
        if "insufficient_quota" in failure.words or failure.headers.get("x-should-retry") == "false":
            return PermanentModelError
        return RateLimitError if status == 429 else TransientModelError
    return InvalidRequestError if status in {400, 404, 413, 422} else PermanentModelError


def _client_names(exc: BaseException) -> frozenset[str]:
    """The names of the classes that an exception inherits from a known client."""
    return frozenset(cls.__name__ for cls in type(exc).__mro__ if _package(cls))


def _package(cls: type) -> str:
    root = cls.__module__.partition(".")[0]
    return root if root in _PACKAGES else ""


def _error_words(exc: BaseException) -> list[str]:
    """What the provider calls the error: the codes and types of the exception and of its body."""
    body = getattr(exc, "body", None)
    body = body if isinstance(body, Mapping) else {}
    error = body.get("error")
    error = error if isinstance(error, Mapping) else {}
    inner = error.get("innererror") or body.get("innererror")
    inner = inner if isinstance(inner, Mapping) else {}
    found = [getattr(exc, "type", None), getattr(exc, "code", None)]
    found += [source.get(key) for source in (error, body, inner) for key in ("type", "code")]
    return [str(word) for word in found if isinstance(word, str | int)]


def _status(exc: BaseException, words: list[str]) -> int | None:
    response = getattr(exc, "response", None)
    for value in (getattr(exc, "status_code", None), getattr(response, "status_code", None)):
        if isinstance(value, int) and value >= 400:
            return value
    named = (_STATUS_OF_TYPE.get(word) or (int(word) if _STATUS.fullmatch(word) else None) for word in words)
    return next(filter(None, named), None)


def _headers(exc: BaseException) -> dict[str, str]:
    response = getattr(exc, "response", None)
    # litellm keeps the provider's headers beside a made-up response.
    sources = (getattr(response, "headers", None), getattr(exc, "litellm_response_headers", None))
    return {str(name).lower(): str(value) for found in sources if found for name, value in found.items()}


def _retry_after(headers: Mapping[str, str], now: Callable[[], datetime]) -> float | None:
    """Seconds: `retry-after-ms`, or Retry-After as seconds or as an HTTP date (RFC 9110)."""
    milliseconds = _number(headers.get("retry-after-ms"))
    seconds = _number(headers.get("retry-after")) if milliseconds is None else milliseconds / 1000
    if seconds is None:
        until = _date(headers.get("retry-after"))
        if until is None:
            return None
        # The server's own clock, when it tells it: ours may be off.
        seconds = (until - (_date(headers.get("date")) or now())).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return None if math.isnan(value) else value


def _date(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
