"""Reading from strangers: how long a body may be and take, and what JSON and a query may hold."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import anyio
from django.conf import settings
from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from ninja.parser import Parser

from loom.errors import Invalid
from loomsite.problems import MEDIA_TYPE, Malformed, document

MAX_DEPTH = 100
MAX_DIGITS = 100
MAX_BODY_SECONDS = 30

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class StrictParser(Parser):
    """JSON as RFC 8259 has it, and of it only what every part behind us can hold.

    Raises Malformed for what is no JSON, and Invalid with a pointer for values that PostgreSQL would refuse.
    """

    def parse_body(self, request: HttpRequest) -> Any:
        return parse_json(request.body)

    def parse_querydict(self, data: MultiValueDict[str, str], list_fields: list[str], request: HttpRequest) -> Any:
        for name, values in data.lists():
            if any(not _is_storable(value) for value in values):
                detail = "must not hold NUL characters or lone surrogates"
                raise Invalid(
                    f"the parameter {name[:50]!r} {detail}",
                    errors=[{"pointer": f"/query/{name[:50]}", "detail": detail}],
                )
        return super().parse_querydict(data, list_fields, request)


def parse_json(body: bytes) -> Any:
    try:
        value = json.loads(
            body.decode(),
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_decimal,
        )
    except UnicodeDecodeError as error:
        raise Malformed("the body is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise Malformed(f"the body is not JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise Malformed(f"the body is nested deeper than {MAX_DEPTH} levels") from error
    _check(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise Malformed(f"the name {double[:50]!r} stands twice in one object")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise Malformed(f"{name} is not a JSON number")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise Malformed(f"a number has more than {MAX_DIGITS} digits")
    return int(text)


def _decimal(text: str) -> float:
    if len(text) > MAX_DIGITS or not math.isfinite(value := float(text)):
        raise Malformed(f"a number has more than {MAX_DIGITS} digits or is larger than 1.8e308")
    return value


def _check(value: Any) -> None:
    """Walk the value without recursion: its depth is the caller's choice."""
    waiting: list[tuple[Any, tuple[Any, ...]]] = [(value, ())]
    while waiting:
        here, path = waiting.pop()
        if len(path) > MAX_DEPTH:
            raise Malformed(f"the body is nested deeper than {MAX_DEPTH} levels")
        if isinstance(here, str):
            _check_text(here, path)
        elif isinstance(here, dict):
            for name, inner in here.items():
                _check_text(name, (*path, name))
                waiting.append((inner, (*path, name)))
        elif isinstance(here, list):
            waiting.extend((inner, (*path, place)) for place, inner in enumerate(here))


def _check_text(text: str, path: tuple[Any, ...]) -> None:
    if not _is_storable(text):
        raise Invalid("text must not hold NUL characters or lone surrogates", pointer=pointer(path))


def _is_storable(text: str) -> bool:
    try:
        return b"\x00" not in text.encode()
    except UnicodeEncodeError:
        return False


def pointer(path: tuple[Any, ...]) -> str:
    """A JSON Pointer (RFC 6901)."""
    parts = (str(part).encode("utf-8", "replace").decode() for part in path)
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


class BodyLimit:
    """ASGI: takes a request's body before Django does, so much of it and no longer than it should take.

    Without it a server would write to disk whatever is sent, and wait for ever for what is not.
    """

    def __init__(self, application: Callable[..., Awaitable[None]]) -> None:
        self._application = application

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if int(announced) > limit:
            return await _refuse(send, 413, f"the body may have {limit} bytes at most")
        try:
            with anyio.fail_after(MAX_BODY_SECONDS):
                body = await _read(receive, limit)
        except TimeoutError:
            return await _refuse(send, 408, f"the body must come within {MAX_BODY_SECONDS} seconds")
        except _Gone:
            return None
        if body is None:
            return await _refuse(send, 413, f"the body may have {limit} bytes at most")
        taken = False

        async def again() -> dict[str, Any]:
            nonlocal taken
            if taken:
                return await receive()
            taken = True
            return {"type": "http.request", "body": body, "more_body": False}

        return await self._application(scope, again, send)


class _Gone(Exception):
    """The client went before its body was whole."""


async def _read(receive: Receive, limit: int) -> bytes | None:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        body += message.get("body", b"")
        if len(body) > limit:
            return None
        if not message.get("more_body", False):
            return bytes(body)


async def _refuse(send: Send, status: int, detail: str) -> None:
    content = document(status, detail=detail, code="too_large" if status == 413 else "")
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
