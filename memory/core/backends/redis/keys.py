"""What things are called on the server, and how they are put in order there.

Every user, and nobody, has keys of their own; nothing is ever looked for among the keys of others. An order is a sorted
set whose members all have the score 0, which Redis then sorts as texts: `<what>:<when>:<place>…`, in which numbers have
leading zeros. `when` is in microseconds, a place says what came first of the same moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from loom.errors import ConfigError
from memory.core.history import Range
from memory.core.values import as_utc

Instants = tuple[int, int]

_BEGINNING = datetime.min.replace(tzinfo=UTC)
_END = 10**18 - 1  # later than any date has microseconds


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one user under a prefix: `keys["episodes"]`."""

    prefix: str
    user_id: str | None

    @property
    def owner(self) -> str:
        """The user without a brace, so that no two users have a key in common; nobody is no user's name."""
        return "nobody" if self.user_id is None else f"user:{part(self.user_id)}"

    def __getitem__(self, kind: str) -> str:
        return f"{self.prefix}{{{self.owner}}}:{kind}"


def shared(prefix: str, kind: str) -> str:
    """A key that belongs to no one user."""
    return f"{prefix}{{}}:{kind}"


def checked_prefix(prefix: str) -> str:
    """A prefix in which no other's keys can lie: the first brace of a key is where its prefix ends."""
    if not prefix or "{" in prefix or "}" in prefix:
        raise ConfigError(f"{prefix!r} is no key_prefix: it must not be empty and have no braces; try 'loom:episode:'")
    return prefix


def part(text: str) -> str:
    """A text as a part of a member: it has no colon."""
    return quote(text, safe=" @")


def instant(moment: datetime) -> int:
    return (as_utc(moment) - _BEGINNING) // timedelta(microseconds=1)


def span(time_range: Range | None) -> Instants:
    return (0, _END) if time_range is None else (instant(time_range[0]), instant(time_range[1]))


def member(*parts: str | int) -> str:
    """A member of an order. The first number is a moment and has 18 digits, the second a place and has 16."""
    widths = iter((18, 16))
    return ":".join(part if isinstance(part, str) else f"{part:0{next(widths, 1)}d}" for part in parts)


def newest_of(key: str, prefix: str, times: Instants, limit: int) -> tuple[str | int, ...]:
    """The command for the last members of an order that begin with a prefix and lie in a time, newest first."""
    return ("ZREVRANGEBYLEX", key, *reversed(bounds(prefix, times)), "LIMIT", 0, max(limit, 0))


def bounds(prefix: str, times: Instants = (0, _END)) -> tuple[str, str]:
    """Between which members of an order those lie that begin with a prefix and are of a time, both ends included."""
    return f"[{prefix}{times[0]:018d}", f"({prefix}{times[1]:018d};"  # a semicolon comes right after a colon
