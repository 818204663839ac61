"""Where keys and passwords come from, and how they are kept out of texts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Protocol, runtime_checkable

MASK = "[REDACTED]"
MIN_LENGTH = 6  # a shorter value would tear holes into ordinary words

# The shapes that are always masked. What is written down goes through the wider net of `audit.core.redaction` besides.
_SHAPES = re.compile(r"\b(?:sk-[\w-]{10,}|AKIA[0-9A-Z]{12,}|gh[pousr]_\w{16,})")


@runtime_checkable
class Secrets(Protocol):
    """A store of secrets. `resolve` raises KeyError for what it does not have; `lookup_sync` answers None."""

    async def resolve(self, ref: str) -> str: ...

    async def store(self, ref: str, value: str) -> None: ...

    def redact(self, text: str) -> str: ...

    def lookup_sync(self, ref: str) -> str | None: ...


class EnvSecrets:
    """Secrets from environment variables, read when they are asked for. What was handed out is masked in texts."""

    def __init__(self) -> None:
        self._handed_out: set[str] = set()

    async def resolve(self, ref: str) -> str:
        value = self.lookup_sync(ref)
        if value is None:
            raise KeyError(f"no secret {ref!r}: the environment variable is not set")
        return value

    async def store(self, ref: str, value: str) -> None:
        raise NotImplementedError(f"cannot store {ref!r}: the environment is set from outside; use DictSecrets")

    def redact(self, text: str) -> str:
        return _masked(text, (os.environ.get(ref, "") for ref in self._handed_out))

    def lookup_sync(self, ref: str) -> str | None:
        value = os.environ.get(ref)
        if value is not None:
            self._handed_out.add(ref)
        return value


class DictSecrets:
    """Secrets in memory. All of them are masked in texts."""

    def __init__(self, initial: dict[str, str] | None = None) -> None:
        self._values = dict(initial or {})

    async def resolve(self, ref: str) -> str:
        if ref not in self._values:
            raise KeyError(f"no secret {ref!r}")
        return self._values[ref]

    async def store(self, ref: str, value: str) -> None:
        self._values[ref] = value

    def redact(self, text: str) -> str:
        return _masked(text, self._values.values())

    def lookup_sync(self, ref: str) -> str | None:
        return self._values.get(ref)

    def __repr__(self) -> str:
        return f"DictSecrets({', '.join(sorted(self._values))})"


def _masked(text: str, values: Iterable[str]) -> str:
    # The longest first, so that no value leaves the rest of a longer one behind.
    for value in sorted({value for value in values if len(value) >= MIN_LENGTH}, key=len, reverse=True):
        text = text.replace(value, MASK)
    return _SHAPES.sub(MASK, text)
