"""Identifiers and hashes: how things are named so that two machines agree."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from json.encoder import c_make_encoder, encode_basestring  # type: ignore[attr-defined]
from typing import Any

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: five bits each
_PAIRS = [a + b for a in _LETTERS for b in _LETTERS]
_ANY_BYTE = (_LETTERS * 8).encode()  # every letter stands for eight of the 256 bytes, so all are equally likely


def new_id(prefix: str = "") -> str:
    """A new sortable id: `run_01J…`, or the bare ULID (github.com/ulid/spec) without a prefix.

    Written out here because a run makes several, and the library's way takes ten times as long.
    """
    ms = time.time_ns() // 1_000_000
    when = (
        _PAIRS[ms >> 40]
        + _PAIRS[ms >> 30 & 1023]
        + _PAIRS[ms >> 20 & 1023]
        + _PAIRS[ms >> 10 & 1023]
        + _PAIRS[ms & 1023]
    )
    chance = os.urandom(16).translate(_ANY_BYTE).decode()
    return f"{prefix}_{when}{chance}" if prefix else when + chance


def snake(name: str) -> str:
    """`RateLimitError` → `rate_limit_error`."""
    return _CAMEL.sub("_", name).lower()


_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
# What `encode` makes anew for each value, which takes longer than most values do. Only CPython has it.
_chunks = c_make_encoder and c_make_encoder(None, str, encode_basestring, None, ":", ",", True, False, True)


quoted: Callable[[str], str] = encode_basestring  # `canonical` of a text


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces. What is hashed or compared goes through here."""
    if type(value) is str:
        return quoted(value)
    try:
        return "".join(_chunks(value, 0)) if _chunks else _encoder.encode(value)
    except RecursionError:
        return _encoder.encode(value)  # it says so when a value holds itself


def deterministic_hash(*parts: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of the parts. Half characters in texts count too."""
    return hashlib.sha256(canonical(parts).encode(errors="surrogatepass")).hexdigest()
