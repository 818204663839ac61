"""Identifiers and hashes: how things are named so that two machines agree."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from typing import Any

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


# Crockford's alphabet, two letters at a time: 13 of these are the 130 bits of a ULID's text.
_PAIRS = [a + b for a in "0123456789ABCDEFGHJKMNPQRSTVWXYZ" for b in "0123456789ABCDEFGHJKMNPQRSTVWXYZ"]
_SHIFTS = range(120, -1, -10)


def new_id(prefix: str = "") -> str:
    """A new sortable id: `run_01J…`, or the bare ULID (github.com/ulid/spec) without a prefix.

    Written out here because a run makes several, and the library's way takes ten times as long.
    """
    bits = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    ulid = "".join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS])
    return f"{prefix}_{ulid}" if prefix else ulid


def snake(name: str) -> str:
    """`RateLimitError` → `rate_limit_error`."""
    return _CAMEL.sub("_", name).lower()


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces. What is hashed or compared goes through here."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def deterministic_hash(*parts: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of the parts."""
    return hashlib.sha256(canonical(parts).encode()).hexdigest()
