"""Values that carry where they come from and how old they are, and policies that look at it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, field_validator

from loom.errors import FreshnessError, LineageError
from loom.messages import FROZEN, utcnow


class CertifiedValue(BaseModel):
    """A value with its source, its age and the sources it was made of. Times without a zone are UTC."""

    model_config = FROZEN

    value: Any
    source: str
    fetched_at: datetime
    valid_until: datetime | None = None
    schema_version: str = "1"
    lineage: tuple[str, ...] = ()

    @field_validator("fetched_at", "valid_until")
    @classmethod
    def _with_zone(cls, time: datetime | None) -> datetime | None:
        return None if time is None else _zoned(time)


@dataclass(frozen=True)
class FreshnessPolicy:
    """How old a value may be: by the first prefix that fits its source, else the default. None is no limit."""

    per_source: tuple[tuple[str, timedelta], ...] = ()
    default: timedelta | None = None

    def max_age_for(self, source: str) -> timedelta | None:
        for prefix, age in self.per_source:
            if source.startswith(prefix):
                return age
        return self.default

    @classmethod
    def from_dict(
        cls, per_source: dict[str, timedelta] | None = None, *, default: timedelta | None = None
    ) -> FreshnessPolicy:
        return cls(tuple((per_source or {}).items()), default)


@dataclass(frozen=True)
class LineagePolicy:
    """Which sources a value and everything it was made of may come from, by prefix. An empty set allows all."""

    allowed_sources: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def from_iter(cls, sources: Iterable[str]) -> LineagePolicy:
        """Raises TypeError for a single text: its letters would allow nearly everything."""
        if isinstance(sources, str):
            raise TypeError(f"sources is a list of prefixes, not {sources!r}")
        return cls(frozenset(sources))


def check_freshness(value: CertifiedValue, policy: FreshnessPolicy, *, now: datetime | None = None) -> bool:
    """Whether a value is young enough, and not past its `valid_until`. A `now` without a zone is UTC too."""
    return _staleness(value, policy, now) is None


def require_freshness(value: CertifiedValue, policy: FreshnessPolicy, *, now: datetime | None = None) -> None:
    """Raises FreshnessError when the value is too old."""
    if (problem := _staleness(value, policy, now)) is not None:
        raise FreshnessError(f"the value from {value.source!r} is stale: {problem}", source=value.source)


def check_lineage(value: CertifiedValue, policy: LineagePolicy) -> bool:
    """Whether the source of a value and all of its ancestors are allowed."""
    return _stranger(value, policy) is None


def require_lineage(value: CertifiedValue, policy: LineagePolicy) -> None:
    """Raises LineageError when a source is not allowed."""
    if (source := _stranger(value, policy)) is not None:
        allowed = ", ".join(sorted(policy.allowed_sources))
        raise LineageError(f"the source {source!r} is not allowed; allowed are {allowed}", source=source)


def _zoned(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _staleness(value: CertifiedValue, policy: FreshnessPolicy, now: datetime | None) -> str | None:
    now = utcnow() if now is None else _zoned(now)
    if value.valid_until is not None and now > value.valid_until:
        return f"it was valid until {value.valid_until.isoformat()}"
    limit = policy.max_age_for(value.source)
    age = now - value.fetched_at
    if limit is not None and age > limit:
        return f"it is {age} old, {limit} are allowed"
    return None


def _stranger(value: CertifiedValue, policy: LineagePolicy) -> str | None:
    if not policy.allowed_sources:
        return None
    allowed = tuple(policy.allowed_sources)
    return next((source for source in (value.source, *value.lineage) if not source.startswith(allowed)), None)
