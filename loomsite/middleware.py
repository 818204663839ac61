"""What every request passes on its way in and out."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from contextvars import ContextVar
from http import HTTPStatus
from uuid import uuid4

from django.db import connections
from django.http import HttpRequest, HttpResponse

from loomsite.problems import MEDIA_TYPE, Malformed, problem, problem_of

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}")
_current: ContextVar[str] = ContextVar("request_id", default="-")

# Nothing comes from elsewhere and no script stands in a page. Styles may: the admin and the API's pages set some.
_POLICY = {
    "default-src": "'self'",
    "script-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
# The admin's theme is written with Alpine, which evaluates the expressions in its attributes.
_ADMIN_POLICY = {**_POLICY, "script-src": "'self' 'unsafe-eval'"}


class RequestId:
    """Middleware: the number under which a request is found in answers, problems and logs. A sane one is taken over."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-Id", "")
        request.id = given if _SANE_ID.fullmatch(given) else uuid4().hex  # type: ignore[attr-defined]
        token = _current.set(request.id)  # type: ignore[attr-defined]
        try:
            response = self._get_response(request)
        finally:
            _current.reset(token)
        response["X-Request-Id"] = request.id  # type: ignore[attr-defined]
        return response


class RequestIdInLogs(logging.Filter):
    """Puts the request's id on each log record; `-` outside of requests."""

    def filter(self, record: logging.LogRecord) -> bool:
        # Django reports an answer after the middleware has let go of it, and brings the request along.
        record.request_id = getattr(getattr(record, "request", None), "id", None) or _current.get()
        return True


class Problems:
    """Middleware: errors below `/api/` are problem documents, whoever made them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith("/api/"):
            return self._get_response(request)
        if "\x00" in request.path:
            return problem_of(request, Malformed("the path holds a NUL character"))
        response = self._get_response(request)
        if response.status_code < HTTPStatus.BAD_REQUEST or response["Content-Type"].startswith(MEDIA_TYPE):
            return response
        translated = problem(request, response.status_code)
        if allowed := response.get("Allow"):
            translated["Allow"] = allowed
        return translated


class SecurityHeaders:
    """Middleware: what a browser may do with our pages."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        policy = _ADMIN_POLICY if request.path.startswith("/admin/") else _POLICY
        response.setdefault("Content-Security-Policy", "; ".join(f"{name} {value}" for name, value in policy.items()))
        response.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
        return response


class FreeConnection:
    """Middleware: a stream that goes on for hours does not keep the database connection its request began with."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        if response.streaming:
            for connection in connections.all(initialized_only=True):
                if not connection.in_atomic_block:
                    connection.close()
        return response
