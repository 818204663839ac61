"""Values as a journal holds them, and how they are read back."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any, get_type_hints

from pydantic import TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation
from pydantic_core import to_jsonable_python

from audit.core.canonical import plain

_AS_IT_IS = frozenset({int, bool, type(None)})
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")


def written(value: Any) -> Any:
    """A value as it is written down. It never fails: what has no JSON form becomes a text that says what it was.

    A value may say by `__written__` what of it is worth the room; what it says must be enough to read it back.
    """
    try:
        if (short := getattr(type(value), "__written__", None)) is not None:
            value = short(value)
        return storable(to_jsonable_python(value, fallback=str))
    except Exception:  # a foreign object may raise anything; what a step has done must be written down
        return plain(value)


def storable(value: Any) -> Any:
    """A JSON value as PostgreSQL can hold it and gives it back. Applied to its own result it changes nothing.

    NUL and lone surrogates become U+FFFD, numbers that JSON lacks become text, and whole floats that `jsonb` would
    write without a point become whole numbers.
    """
    kind = type(value)  # exact, in a JSON value
    if kind is dict:
        # Most of what there is to look at are the texts in here, which are not worth a call each.
        return {
            key if key.isprintable() else _text(key): (
                item if type(item) in _AS_IT_IS or (type(item) is str and item.isprintable()) else storable(item)
            )
            for key, item in value.items()
        }
    if kind is str:
        return value if value.isprintable() else _text(value)
    if kind is list or kind is tuple:
        return [storable(item) for item in value]
    return _number(value) if kind is float else value


def _text(value: str) -> str:
    if value.isascii() and "\0" not in value:  # lines, mostly
        return value
    return _NOT_STORABLE.sub("\ufffd", value)


def _number(value: float) -> float | int | str:
    if not math.isfinite(value):
        return str(value)
    return int(value) if abs(value) >= 2**53 else value or 0.0


_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)
_codecs: dict[Any, TypeAdapter[Any]] = {}


def codec_for(fn: Any) -> TypeAdapter[Any]:
    """How a recorded result is read back: by the return type that the function declares, else as plain JSON."""
    while (inner := getattr(fn, "__wrapped__", None) or (fn.func if isinstance(fn, partial) else None)) is not None:
        fn = inner
    code = getattr(fn, "__code__", None)
    if code is None:  # an object that can be called
        return _ANYTHING if fn is type(fn).__call__ else codec_for(type(fn).__call__)
    try:
        # Closures of one function share its code, but not what their annotations mean.
        key = (code, fn.__annotations__.get("return"))
        if key not in _codecs:
            _codecs[key] = _made(fn)
        return _codecs[key]
    except TypeError:  # an annotation without a hash
        return _made(fn)


def _made(fn: Callable[..., Any]) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(get_type_hints(fn).get("return", Any))
    except (NameError, TypeError, PydanticSchemaGenerationError, PydanticUndefinedAnnotation):
        return _ANYTHING  # a type that only the checker sees, or one without a JSON form
