"""What an error looks like from outside: a problem document (RFC 9457).

One table says which class of error is which HTTP status, one function writes the document.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from pydantic_core import to_json

from loom.errors import Conflict, Denied, Invalid, LoomError, ModelError, NotFound, OverBudget, Unavailable

MEDIA_TYPE = "application/problem+json"


class Malformed(Invalid):
    """The request is not well-formed."""


class TooLarge(Invalid):
    """The request is larger than allowed."""


class Unauthenticated(LoomError):
    """There is no valid credential with this request."""


# The closest ancestor of an error counts. 402 for a spent budget: unlike after 429, waiting a moment changes nothing.
STATUS: dict[type[LoomError], int] = {
    LoomError: 500,
    Malformed: 400,
    Unauthenticated: 401,
    OverBudget: 402,
    Denied: 403,
    NotFound: 404,
    Conflict: 409,
    TooLarge: 413,
    Invalid: 422,
    ModelError: 502,
    Unavailable: 503,
}


def status_of(error: LoomError) -> int:
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem_of(request: HttpRequest, error: LoomError) -> HttpResponse:
    """The answer to a request that ended in this error."""
    pointer = error.facts.get("pointer")
    errors = getattr(error, "errors", None) or error.facts.get("errors")
    if errors is None:
        errors = [{"pointer": pointer, "detail": str(error)}] if pointer is not None else []
    response = problem(
        request,
        status_of(error),
        detail=str(error),
        code=error.code,
        title=(type(error).__doc__ or "").strip().splitlines()[0].rstrip("."),
        errors=errors,
    )
    retry_after = error.facts.get("retry_after") or getattr(error, "retry_after", None)
    if retry_after or response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        response["Retry-After"] = str(math.ceil(retry_after or 1))
    if isinstance(error, Unauthenticated):
        response["WWW-Authenticate"] = 'Bearer realm="loom"'
    return response


def problem(
    request: HttpRequest,
    status: int,
    *,
    detail: str = "",
    code: str = "",
    title: str = "",
    errors: Sequence[dict[str, Any]] = (),
) -> HttpResponse:
    """A problem document as an answer. What is not said follows from the status."""
    request_id = getattr(request, "id", "")
    content = document(status, detail=detail, code=code, title=title, errors=errors, request_id=request_id)
    return HttpResponse(content, status=status, content_type=MEDIA_TYPE)


def document(
    status: int,
    *,
    detail: str = "",
    code: str = "",
    title: str = "",
    errors: Sequence[dict[str, Any]] = (),
    request_id: str = "",
) -> bytes:
    words = HTTPStatus(status)
    code = code or words.phrase.lower().replace(" ", "_").replace("-", "_")
    return to_json(
        {
            "type": f"urn:loom:problem:{code}",
            "title": title or words.phrase,
            "status": status,
            "detail": detail or words.description or words.phrase,
            "code": code,
            "errors": list(errors),
            "request_id": request_id,
        }
    )
