"""Reading JSON from strangers: what a body and a query may hold, said once for all operations."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from ninja.parser import Parser

from loom.errors import Invalid
from loomsite.problems import Malformed

MAX_DEPTH = 100
MAX_DIGITS = 100


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


def parse_json(text: bytes) -> Any:
    try:
        value = json.loads(
            text,
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
