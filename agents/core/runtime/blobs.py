"""Large values of a journal, kept once beside it.

A record whose JSON takes more than 64 KiB gives away the values that make it large. In their place stands
`{"$blob": sha256, "size": bytes}`; who reads the record gets it back as it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic_core import PydanticSerializationError, to_json

from loom.errors import Invalid, RuntimeJournalError

LIMIT = 64 * 1024
PLAIN, WITH_BLOBS = 1, 2  # versions of a row: code before the second would take a reference for a value
VERSION = WITH_BLOBS  # the newest that this code reads
_MARK = "$blob"


class Packed(NamedTuple):
    """A record's data as a row holds it: JSON, and the JSON of what was taken out by its SHA-256."""

    text: str
    blobs: Mapping[str, str] = MappingProxyType({})

    @property
    def version(self) -> int:
        """The lowest that can read it, so that the code of before goes on with all other rows."""
        return WITH_BLOBS if self.blobs else PLAIN


def pack(data: dict[str, Any]) -> Packed:
    """Raises Invalid for data that has no JSON form."""
    text = _json(data)
    if _fits(text):
        return Packed(text)
    blobs: dict[str, str] = {}
    return Packed(_json({key: _taken_out(value, blobs) for key, value in data.items()}), blobs)


def unpack(data: Mapping[str, Any], bodies: Mapping[str, str]) -> dict[str, Any]:
    """The data as it was, given the blobs that the row names. Raises RuntimeJournalError when one is missing."""
    return {key: _put_back(value, bodies) for key, value in data.items()}


def check_version(version: int) -> None:
    """Raise RuntimeJournalError for a row that this code cannot read."""
    if version > VERSION:
        raise RuntimeJournalError(f"a journal row has version {version}; this code reads up to {VERSION}: update loom")


def _json(value: Any) -> str:
    try:
        return to_json(value).decode()  # four times as fast as the standard library
    except PydanticSerializationError as error:
        try:
            return json.dumps(value, ensure_ascii=False)  # may have more than 255 levels, or half characters
        except (TypeError, ValueError, RecursionError):
            raise Invalid(f"a record has no JSON form: {error}") from error


def _taken_out(value: Any, blobs: dict[str, str]) -> Any:
    """The value without its large parts: the smallest parts whose absence makes it fit."""
    text = _json(value)
    if _fits(text) and _mark_free(text):
        return value
    if isinstance(value, dict | list) and _mark_free(text):
        inner: dict[str, str] = {}
        rest = _each(value, inner)
        if _fits(_json(rest)):
            blobs.update(inner)
            return rest
    digest = hashlib.sha256(text.encode()).hexdigest()
    blobs[digest] = text
    return {_MARK: digest, "size": len(text.encode())}


def _each(value: dict[str, Any] | list[Any], blobs: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _taken_out(item, blobs) for key, item in value.items()}
    return [_taken_out(item, blobs) for item in value]


def _mark_free(text: str) -> bool:
    """Whether no reference could be seen in it that is none. What has the mark itself is taken out whole."""
    return f'"{_MARK}"' not in text


def _fits(text: str) -> bool:
    return len(text) <= LIMIT // 4 or len(text.encode()) <= LIMIT


def _put_back(value: Any, bodies: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        if _MARK in value:
            return _body(value[_MARK], bodies)
        return {key: _put_back(item, bodies) for key, item in value.items()}
    return [_put_back(item, bodies) for item in value] if isinstance(value, list) else value


def _body(digest: str, bodies: Mapping[str, str]) -> Any:
    if digest not in bodies:
        raise RuntimeJournalError(f"the journal refers to a value that is gone: {digest}", sha256=digest)
    return json.loads(bodies[digest])
