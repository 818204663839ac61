"""The one API: it mounts the rooms' routers, says who may call them, and turns every error into a problem document."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja import NinjaAPI, Swagger
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema
from ninja.renderers import BaseRenderer
from ninja.security import APIKeyCookie, HttpBearer
from pydantic_core import to_json

from governance import services as governance
from governance.auth import Principal
from governance.models import ApiKey
from loom.errors import Denied, Invalid, LoomError, NotFound, Unavailable
from loomsite.bodies import StrictParser, pointer
from loomsite.problems import MEDIA_TYPE, TooLarge, Unauthenticated, problem, problem_of

log = logging.getLogger(__name__)

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


# --- who may call -----------------------------------------------------------------------------------------------------


class ApiKeyAuth(HttpBearer):
    """`Authorization: Bearer loom_<prefix>_<secret>`. The middleware has looked the key up; here its scope counts."""

    def __init__(self, write: str) -> None:
        super().__init__()
        self._write = write

    def authenticate(self, request: HttpRequest, token: str) -> Principal | None:
        return _allowed(request, self._write)


class SessionAuth(APIKeyCookie):
    """The session cookie of a logged-in member, with Django's CSRF token for whatever changes something."""

    param_name = "sessionid"

    def __init__(self, write: str) -> None:
        super().__init__(csrf=True)
        self._write = write

    def __call__(self, request: HttpRequest) -> Principal | None:
        return None if "Authorization" in request.headers else super().__call__(request)

    def _get_key(self, request: HttpRequest) -> str | None:
        if not request.user.is_authenticated:
            return None
        return super()._get_key(request)

    def authenticate(self, request: HttpRequest, key: str | None) -> Principal | None:
        if key is None:
            return None
        if _principal(request) is None:
            raise Denied("you are not a member of any tenant; ask an owner to add you")
        return _allowed(request, self._write)


def _allowed(request: HttpRequest, write: str) -> Principal | None:
    principal = _principal(request)
    scope = ApiKey.Scope.READ if request.method in SAFE else write
    if principal is not None and scope not in principal.scopes:
        has = ", ".join(sorted(principal.scopes)) or "none"
        raise Denied(f"this takes the scope '{scope}'; the credential has {has}", scope=str(scope))
    return principal


def _principal(request: HttpRequest) -> Principal | None:
    found: Principal | None = getattr(request, "principal", None)
    return found


def _callers(*, write: str) -> list[Any]:
    """Who may use a router: reading takes the scope `read`, everything else the one named here."""
    return [ApiKeyAuth(write), SessionAuth(write)]


# --- each operation that changes something ----------------------------------------------------------------------------


def _all_or_nothing(run: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Around every operation: an answer that is an error leaves nothing behind, a repeated POST does nothing twice."""
    operation = run.__self__  # type: ignore[attr-defined]

    @functools.wraps(run)
    def wrapped(request: HttpRequest, **path: Any) -> HttpResponseBase:
        if request.method in SAFE or _principal(request) is None:  # nobody may change nothing: there is no transaction
            return run(request, **path)
        with transaction.atomic(savepoint=False):  # the tenant's scope around it is one transaction with it
            response = _once(operation, run, request, path)
            if response.status_code >= 400:
                transaction.set_rollback(True)
        return response

    return wrapped


def _once(operation: Any, run: Callable[..., HttpResponseBase], request: HttpRequest, path: Any) -> HttpResponseBase:
    """Answer a POST under an Idempotency-Key: from what was answered before, or by doing it and noting the answer."""
    key = request.headers.get("Idempotency-Key")
    principal = _principal(request)
    if key is None or request.method != "POST" or principal is None:
        return run(request, **path)
    if refusal := operation._run_checks(request):  # a stored answer is for those only who may ask
        return refusal  # type: ignore[no-any-return]
    try:
        record = governance.claim_request(
            tenant=principal.tenant,
            principal=principal.name,
            route=f"POST {request.resolver_match.route}",  # type: ignore[union-attr]
            key=key,
            fingerprint=hashlib.sha256(request.get_full_path().encode() + b"\n" + request.body).hexdigest(),
        )
    except Exception as error:
        return api.on_exception(request, error)
    if record.status is not None:
        response = HttpResponse(record.body, status=record.status, content_type=api.get_content_type())
        response["Idempotent-Replayed"] = "true"
        return response
    answer = run(request, **path)
    if answer.status_code < 400:
        governance.settle_request(record, status=answer.status_code, body=_storable(answer))
    return answer


def _storable(answer: Any) -> str:
    """The answer as it may be kept: a token that is shown once is not."""
    text: str = answer.content.decode()
    document = json.loads(text) if text else None
    if isinstance(document, dict) and "token" in document:
        return json.dumps({**document, "token": None}, separators=(",", ":"))
    return text


# --- the API ----------------------------------------------------------------------------------------------------------


class _JSON(BaseRenderer):
    media_type = "application/json"

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        return to_json(data)


class LoomAPI(NinjaAPI):
    """NinjaAPI whose description names what every operation may refuse with."""

    def get_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**kwargs)
        schema["components"]["schemas"]["Problem"] = _PROBLEM
        for operations in schema["paths"].values():
            for method, operation in operations.items():
                _describe_refusals(method, operation)
        return schema


_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "errors", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
        "request_id": {"type": "string"},
    },
}
_REFUSALS = {
    400: "Not JSON, or a header that makes no sense",
    401: "No valid credential",
    402: "A budget is spent",
    403: "The credential lacks the scope",
    404: "No such thing, or not yours",
    405: "Not this method",
    409: "Not in a state that allows this, or an equal request is still running",
    413: "Larger than allowed",
    422: "The request makes no sense; `errors` points at what is wrong",
    429: "Too many requests; wait for `Retry-After`",
    502: "A model did not answer",
    503: "Something we need is not there; try again",
}
_IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "Send the request again under the same key, and it is not done twice.",
}


def _describe_refusals(method: str, operation: dict[str, Any]) -> None:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status, words in _REFUSALS.items():
        operation["responses"].setdefault(status, {"description": words, "content": content})
    if method == "post" and _IDEMPOTENCY_KEY not in operation["parameters"]:
        operation["parameters"].append(_IDEMPOTENCY_KEY)


api = LoomAPI(
    title="Loom",
    version="1",
    description="Agents, their runs and what happened in them. Errors are problem documents (RFC 9457).",
    urls_namespace="api",
    docs=Swagger({"persistAuthorization": True}),
    renderer=_JSON(),
    parser=StrictParser(),
)
api.add_decorator(_all_or_nothing, mode="view")
api.add_router("/runs", "agents.api.runs", auth=_callers(write=ApiKey.Scope.RUN))
api.add_router("/agents", "agents.api.agents", auth=_callers(write=ApiKey.Scope.ADMIN))
api.add_router("/approvals", "governance.api.approvals", auth=_callers(write=ApiKey.Scope.APPROVE))
api.add_router("/policies", "governance.api.policies", auth=_callers(write=ApiKey.Scope.ADMIN))
api.add_router("/schedules", "agents.api.schedules", auth=_callers(write=ApiKey.Scope.RUN))
api.add_router("/keys", "governance.api.keys", auth=_callers(write=ApiKey.Scope.ADMIN))


# --- errors -----------------------------------------------------------------------------------------------------------


@api.exception_handler(LoomError)
def _refused(request: HttpRequest, error: LoomError) -> HttpResponse:
    response = problem_of(request, error)
    if response.status_code >= 500:
        log.error("%s %s ended with %s", request.method, request.path, error.code, exc_info=error)
    return response


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    errors = [{"pointer": _pointer_of(e["loc"]), "detail": e["msg"]} for e in error.errors]
    first = errors[0]
    return problem_of(request, Invalid(f"{first['pointer'] or 'the body'}: {first['detail']}", errors=errors))


def _pointer_of(location: tuple[Any, ...]) -> str:
    """Ninja's place of a value as a JSON Pointer: into the body, or below `/query`."""
    source, *path = location
    if source == "body" or path[0] == source:  # the name of the view's argument is nobody's business
        path = path[1:]
    return pointer(tuple(path) if source == "body" else (source, *path))


@api.exception_handler(HttpError)
def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    if isinstance(error, AuthenticationError):
        sent = "the API key is unknown, revoked or expired" if "Authorization" in request.headers else ""
        return problem_of(request, Unauthenticated(sent or "send an API key as `Authorization: Bearer …`, or log in"))
    if isinstance(error.__cause__, LoomError):  # what our parser said, wrapped by ninja's reader of bodies
        return problem_of(request, error.__cause__)
    if error.status_code == 403:
        return problem_of(request, Denied("the CSRF token is missing or wrong; send it as `X-CSRFToken`"))
    return problem(request, error.status_code, detail=str(error))


@api.exception_handler(RequestDataTooBig)
def _too_large(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    return problem_of(request, TooLarge(f"the body may have {settings.DATA_UPLOAD_MAX_MEMORY_SIZE} bytes at most"))


@api.exception_handler(Http404)
def _missing(request: HttpRequest, error: Http404) -> HttpResponse:
    return problem_of(request, NotFound())


@api.exception_handler(Exception)
def _failed(request: HttpRequest, error: Exception) -> HttpResponse:
    """What nobody expected. The caller learns nothing but the number under which the log tells more."""
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return failure(request, error)


def failure(request: HttpRequest, error: BaseException | None) -> HttpResponse:
    if isinstance(error, OperationalError | InterfaceError):
        return problem_of(request, Unavailable("the database cannot be reached; try again"))
    return problem(request, 500, detail="something went wrong on our side; the log tells more under this request_id")
