"""The retry policy, its waits, and what the exceptions of the real clients mean."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.core.retry import RetryPolicy, classify_model_error, compute_backoff
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

REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1")
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def response(status: int, headers: dict[str, str] | None = None, body: object = None) -> httpx2.Response:
    return httpx2.Response(status, headers=headers, json=body, request=REQUEST)


def openai_error(status: int, headers: dict[str, str] | None = None, **error: object) -> Exception:
    client = openai.OpenAI(api_key="k", base_url="http://127.0.0.1/v1")
    return client._make_status_error_from_response(response(status, headers, {"error": {"message": "no", **error}}))


def anthropic_error(status: int, headers: dict[str, str] | None = None, kind: str = "some_error") -> Exception:
    client = anthropic.Anthropic(api_key="k", base_url="http://127.0.0.1")
    body = {"type": "error", "error": {"type": kind, "message": "no"}}
    return client._make_status_error_from_response(response(status, headers, body))


def wait_of(headers: dict[str, str]) -> float | None:
    error = classify_model_error(openai_error(429, headers), now=lambda: NOON)
    assert isinstance(error, RateLimitError)
    return error.retry_after


# -- policy and waits


def test_the_default_policy_makes_three_attempts_a_disabled_one_makes_one_and_an_aggressive_one_six() -> None:
    assert RetryPolicy() == RetryPolicy(3, 1.0, 30.0, 2.0, 0.1)
    assert RetryPolicy.disabled() == RetryPolicy(max_attempts=1)
    assert RetryPolicy.aggressive() == RetryPolicy(max_attempts=6, initial_delay_s=0.5, max_delay_s=60.0)
    assert [RetryPolicy(max_attempts=n).is_enabled() for n in (0, 1, 2, 3)] == [False, False, True, True]


@pytest.mark.parametrize("field", ["initial_delay_s", "max_delay_s", "multiplier", "jitter"])
@pytest.mark.parametrize("value", [-1.0, float("inf"), float("nan")])
def test_a_policy_with_a_senseless_number_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=field):
        RetryPolicy(**{field: value})


@pytest.mark.parametrize("value", ["3", 2.5, -1, True])
def test_attempts_that_cannot_be_counted_are_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="max_attempts"):
        RetryPolicy(max_attempts=value)


def test_waits_double_up_to_the_cap() -> None:
    policy = RetryPolicy(max_attempts=9, initial_delay_s=1.0, max_delay_s=5.0, multiplier=2.0, jitter=0.0)

    assert [compute_backoff(policy, attempt) for attempt in (1, 2, 3, 4, 100_000)] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_what_the_provider_asks_for_wins_when_it_is_longer_even_over_the_cap() -> None:
    policy = RetryPolicy(initial_delay_s=2.0, max_delay_s=5.0, jitter=0.0)

    assert compute_backoff(policy, 1, retry_after=40.0) == 40.0
    assert compute_backoff(policy, 1, retry_after=0.5) == 2.0


@given(
    st.builds(
        RetryPolicy,
        initial_delay_s=st.floats(0, 100),
        max_delay_s=st.floats(0, 100),
        multiplier=st.floats(0, 10),
        jitter=st.floats(0, 2),
    ),
    st.integers(-3, 2000),
    st.none() | st.floats(0, 60),
)
def test_a_wait_is_never_negative_never_over_the_spread_cap_and_never_before_the_provider_s_time(
    policy: RetryPolicy, attempt: int, retry_after: float | None
) -> None:
    delay = compute_backoff(policy, attempt, retry_after=retry_after, rng=random.Random(7))

    assert delay >= (retry_after or 0.0)
    assert delay <= max(policy.max_delay_s * (1 + policy.jitter), retry_after or 0.0)


def test_jitter_spreads_waits_over_both_sides_and_is_repeatable_with_a_seed() -> None:
    policy = RetryPolicy(initial_delay_s=10.0, jitter=0.1)

    waits = [compute_backoff(policy, 1, rng=random.Random(seed)) for seed in range(50)]

    assert min(waits) < 10.0 < max(waits)
    assert all(9.0 <= wait <= 11.0 for wait in waits)
    assert waits == [compute_backoff(policy, 1, rng=random.Random(seed)) for seed in range(50)]


# -- which failures may pass


@pytest.mark.parametrize("make", [openai_error, anthropic_error])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (402, PermanentModelError),
        (403, AuthenticationError),
        (404, InvalidRequestError),
        (408, TransientModelError),
        (409, TransientModelError),
        (413, InvalidRequestError),
        (422, InvalidRequestError),
        (429, RateLimitError),
        (500, TransientModelError),
        (502, TransientModelError),
        (503, TransientModelError),
        (504, TransientModelError),
        (529, TransientModelError),
    ],
)
def test_every_status_is_either_transient_or_permanent(make, status: int, kind: type[ModelError]) -> None:
    original = make(status, {"request-id": "req_1", "x-request-id": "req_1"})

    error = classify_model_error(original)

    assert type(error) is kind
    assert error.cause is original
    assert error.facts["status"] == status
    assert error.facts["request_id"] == "req_1"
    assert str(status) in str(error)


@pytest.mark.parametrize(
    ("original", "kind"),
    [
        (httpx2.ConnectError("refused"), TransientModelError),
        (httpx2.ReadError("reset"), TransientModelError),
        (httpx2.ReadTimeout("slow"), TransientModelError),
        (httpx2.RemoteProtocolError("cut off"), TransientModelError),
        (httpx.ConnectError("refused"), TransientModelError),
        (httpx.ReadTimeout("slow"), TransientModelError),
        (httpx2.UnsupportedProtocol("no http://"), PermanentModelError),
        (httpx2.LocalProtocolError("illegal header"), PermanentModelError),
        (openai.APIConnectionError(request=REQUEST), TransientModelError),
        (openai.APITimeoutError(REQUEST), TransientModelError),
        (anthropic.APIConnectionError(request=REQUEST), TransientModelError),
        (anthropic.APITimeoutError(REQUEST), TransientModelError),
        (anthropic.CredentialsError("no file"), AuthenticationError),
        (openai.ContentFilterFinishReasonError(), ContentFilterError),
        (httpx2.HTTPStatusError("503", request=REQUEST, response=response(503)), TransientModelError),
    ],
)
def test_broken_connections_may_pass_and_requests_that_cannot_be_sent_may_not(
    original: Exception, kind: type[ModelError]
) -> None:
    assert type(classify_model_error(original)) is kind


def test_a_connection_error_whose_cause_is_a_wrong_url_is_permanent() -> None:
    original = openai.APIConnectionError(request=REQUEST)
    original.__cause__ = httpx2.UnsupportedProtocol("no http://")

    assert type(classify_model_error(original)) is PermanentModelError


@pytest.mark.parametrize(
    ("error_type", "kind"),
    [
        ("overloaded_error", TransientModelError),
        ("api_error", TransientModelError),
        ("rate_limit_error", RateLimitError),
        ("authentication_error", AuthenticationError),
        ("invalid_request_error", InvalidRequestError),
        ("something_new", TransientModelError),
    ],
)
def test_an_error_inside_a_stream_is_judged_by_its_type(error_type: str, kind: type[ModelError]) -> None:
    body = {"type": "error", "error": {"type": error_type, "message": "no"}}
    client = anthropic.Anthropic(api_key="k", base_url="http://127.0.0.1")

    assert type(classify_model_error(client._make_status_error("no", body=body, response=response(200)))) is kind
    assert type(classify_model_error(openai.APIError("no", REQUEST, body={"code": error_type}))) is kind


@pytest.mark.parametrize("code", [429, "429"])
def test_an_error_inside_a_stream_may_have_the_status_itself_as_its_code(code: int | str) -> None:
    busy = classify_model_error(openai.APIError("no", REQUEST, body={"code": code}))
    wrong = classify_model_error(openai.APIError("no", REQUEST, body={"code": 400}))

    assert isinstance(busy, RateLimitError)
    assert isinstance(wrong, InvalidRequestError)
    assert busy.facts["status"] == 429


@pytest.mark.parametrize("code", ["content_filter", "content_policy_violation"])
def test_filtered_content_is_recognised_by_its_code(code: str) -> None:
    assert type(classify_model_error(openai_error(400, code=code))) is ContentFilterError


def test_a_filter_named_in_the_inner_error_is_recognised() -> None:
    error = openai_error(400, code="other", innererror={"code": "ResponsibleAIPolicyViolation"})

    assert type(classify_model_error(error)) is ContentFilterError


def test_an_account_without_credit_is_not_asked_again_although_it_answers_429() -> None:
    assert type(classify_model_error(openai_error(429, code="insufficient_quota"))) is PermanentModelError


def test_a_provider_that_forbids_a_repetition_is_obeyed() -> None:
    assert type(classify_model_error(anthropic_error(529, {"x-should-retry": "false"}))) is PermanentModelError


def test_a_model_error_is_returned_as_it_is_and_a_stranger_is_left_alone() -> None:
    ours = TransientModelError("busy", retry_after=3)

    assert classify_model_error(ours) is ours
    assert classify_model_error(ValueError("mine")) is None
    assert classify_model_error(KeyError("status_code")) is None
    assert classify_model_error(openai.OpenAIError("no api_key")) is None


def test_messages_are_short_and_name_provider_and_status() -> None:
    error = classify_model_error(openai_error(500, code="x" * 5000))

    assert str(error).startswith("openai answered 500: ")
    assert len(str(error)) < 400


# -- Retry-After


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "86400"}, 60.0),
        ({"retry-after": "inf"}, 60.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "junk", "retry-after": "9"}, 9.0),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:08 GMT"}, 8.0),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:08 -0000"}, 8.0),
        ({"retry-after": "Mon, 23 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "Tue, 24 Nov 2026 12:00:00 GMT"}, 60.0),
        ({"retry-after": "Mon, 99 Nov 2026 12:00:08 GMT"}, None),
    ],
)
def test_retry_after_is_read_as_seconds_milliseconds_or_date_and_clamped(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert wait_of(headers) == seconds


def test_a_date_is_measured_by_the_server_s_own_clock() -> None:
    skewed = {"date": "Mon, 23 Nov 2026 15:00:00 GMT", "retry-after": "Mon, 23 Nov 2026 15:00:20 GMT"}

    assert wait_of(skewed) == 20.0


@pytest.mark.parametrize("status", [503, 529])
def test_retry_after_is_honoured_on_overload_too(status: int) -> None:
    error = classify_model_error(anthropic_error(status, {"retry-after": "12"}))

    assert isinstance(error, TransientModelError)
    assert error.retry_after == 12.0


@given(st.text(max_size=40))
def test_no_header_can_break_the_classification(text: str) -> None:
    class Answer:
        status_code = 429
        headers = {"retry-after": text, "date": text, "retry-after-ms": text}  # noqa: RUF012

    error = httpx2.HTTPStatusError("429", request=REQUEST, response=Answer())  # type: ignore[arg-type]
    found = classify_model_error(error)

    assert isinstance(found, RateLimitError)
    assert found.retry_after is None or 0 <= found.retry_after <= 60


def test_classifying_loads_no_client() -> None:
    code = (
        "import sys; from governance.core.retry import classify_model_error as c; assert c(ValueError()) is None;"
        "print([m for m in ('openai', 'anthropic', 'litellm', 'httpx', 'httpx2') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "error",
    [
        openai_error(400, code="context_length_exceeded"),
        openai_error(413),
        anthropic.BadRequestError("prompt is too long: 9 > 8", response=response(400), body=None),
    ],
)
def test_a_request_that_does_not_fit_the_model_is_told_apart_from_a_wrong_one(error: Exception) -> None:
    found = classify_model_error(error)

    assert isinstance(found, InvalidRequestError)
    assert found.facts["too_long"] is True
    assert "too_long" not in classify_model_error(openai_error(400)).facts
