"""The JSON form of any value, so that what is signed now reads the same when it is checked.

`plain` never fails: a value without a JSON form becomes a text that says what it was. The form survives JSON files and
PostgreSQL's `jsonb`: numbers keep their value, texts are valid UTF-8 without NUL, keys are texts.
"""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import NoneType
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from loom.ids import canonical

MAX_DEPTH = 64
MAX_NODES = 100_000
MAX_INT_BITS = 4096  # far below the number of digits at which Python refuses to print an int

JSON = Any  # None, bool, int, float, str, list and dict of these


def plain(value: object) -> JSON:
    """The JSON form of a value. Applied to its own result it changes nothing."""
    scalar = SCALARS.get(type(value))
    return _Reading().plain(value) if scalar is None else scalar(value)


class _Reading:
    """One walk through a value: where it is, so that cycles end, and how much it has seen, so that bombs do."""

    def __init__(self) -> None:
        self._above: set[int] = set()
        self._left = MAX_NODES

    def plain(self, value: object) -> JSON:
        scalar = SCALARS.get(type(value))
        return self._inside(value) if scalar is None else scalar(value)

    def _inside(self, value: object) -> JSON:
        self._left -= 1
        if id(value) in self._above:
            return "<itself>"
        if len(self._above) >= MAX_DEPTH or self._left < 0:
            return "<too large to write down>"
        self._above.add(id(value))
        try:
            return self._converted(value)
        except Exception as error:  # a foreign object may raise anything; the audit of a run must not end it
            return f"<{type(value).__name__} that cannot be read: {type(error).__name__}>"
        finally:
            self._above.discard(id(value))

    def _converted(self, value: object) -> JSON:
        if type(value) is dict or isinstance(value, Mapping):  # asking an abstract class is slow
            return {self._key(key): self.plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.plain(item) for item in value]
        if isinstance(value, AbstractSet):
            return sorted((self.plain(item) for item in value), key=canonical)
        for types, convert in _CONVERSIONS:
            if isinstance(value, types):
                return self.plain(convert(value))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: self.plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return plain_text(repr(value))

    def _key(self, key: object) -> str:
        if type(key) is str:
            return plain_text(key)
        form = self.plain(key)
        return form if isinstance(form, str) else canonical(form)


def plain_text(value: str) -> str:
    """The JSON form of a text."""
    if value.isascii() and "\0" not in value:
        return value
    # A lone surrogate has no UTF-8 form, and PostgreSQL takes no NUL.
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _int(value: int) -> int | str:
    return value if value.bit_length() <= MAX_INT_BITS else hex(value)


def _float(value: float) -> int | float | str:
    if not math.isfinite(value):
        return repr(value)
    if abs(value) >= 2**53:  # jsonb writes such a float as a whole number
        return int(Decimal(repr(value)))
    return float(value) or 0.0  # jsonb knows no negative zero


def _duration(value: timedelta) -> str:
    return f"PT{value.total_seconds():f}S"


def _model(value: BaseModel) -> dict[str, Any]:
    return {name: getattr(value, name) for name in type(value).model_fields} | (value.model_extra or {})


SCALARS: dict[type, Callable[[Any], JSON]] = {
    str: plain_text,
    int: _int,
    float: _float,
    bool: lambda value: value,
    NoneType: lambda value: value,
}

_CONVERSIONS: tuple[tuple[type | tuple[type, ...], Callable[[Any], object]], ...] = (
    (Enum, lambda value: value.value),
    (str, str.__str__),
    (bool, bool),
    (int, int.__int__),
    (float, _float),
    ((datetime, date, time), lambda value: value.isoformat()),
    (timedelta, _duration),
    ((bytes, bytearray, memoryview), lambda value: "base64:" + base64.b64encode(bytes(value)).decode()),
    (BaseModel, _model),
    ((Decimal, UUID, PurePath), str),
    (BaseException, lambda value: f"{type(value).__name__}: {value}"),
    (type, lambda value: f"{value.__module__}.{value.__qualname__}"),
)
