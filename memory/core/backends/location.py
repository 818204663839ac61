"""Where a server's memory lies, as people may read it."""

from __future__ import annotations

import re

# Rather too much than too little: a password may hold any of the characters that end one.
_AFTER_USER = re.compile(r"(?<=://)([^:/@]*):.*@", re.DOTALL)
_BY_NAME = re.compile(r"(\w*(?:password|passwd)\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]+)", re.IGNORECASE)


def shown(location: str) -> str:
    """A URL or connection string without its passwords."""
    return _BY_NAME.sub(r"\1***", _AFTER_USER.sub(r"\1:***@", location))
