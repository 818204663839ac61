"""Identifiers and hashes: how things are named so that two machines agree."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from ulid import ULID

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def new_id(prefix: str = "") -> str:
    """A new sortable id: `run_01J…`, or the bare ULID without a prefix."""
    ulid = str(ULID())
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
