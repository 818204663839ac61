"""Values with a source and an age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from governance.core.certified import (
    CertifiedValue,
    FreshnessPolicy,
    LineagePolicy,
    check_freshness,
    check_lineage,
    require_freshness,
    require_lineage,
)
from loom.errors import FreshnessError, LineageError

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def value(source: str = "db:orders", *, hours: float = 0, **fields: object) -> CertifiedValue:
    return CertifiedValue.model_validate({"value": 1, "source": source, "fetched_at": NOW - hours * HOUR, **fields})


@pytest.mark.parametrize(
    ("checked", "fresh"),
    [
        (value("db:orders", hours=2), True),
        (value("db:orders", hours=4), False),
        (value("db:prices", hours=2), False),
        (value("web:news", hours=23), True),
        (value("web:news", hours=25), False),
        (value("db:orders", valid_until=NOW - HOUR), False),
        (value("db:orders", hours=2, valid_until=NOW + HOUR), True),
    ],
)
def test_the_first_prefix_that_fits_says_how_old_a_value_may_be(checked: CertifiedValue, fresh: bool) -> None:
    policy = FreshnessPolicy.from_dict({"db:orders": 3 * HOUR, "db:": HOUR}, default=24 * HOUR)

    assert check_freshness(checked, policy, now=NOW) is fresh


def test_without_a_limit_only_the_end_of_validity_counts() -> None:
    assert check_freshness(value(hours=10_000), FreshnessPolicy(), now=NOW)
    assert not check_freshness(value(valid_until=NOW - HOUR), FreshnessPolicy(), now=NOW)


def test_a_stale_value_is_refused_with_its_source() -> None:
    require_freshness(value(), FreshnessPolicy(default=HOUR), now=NOW)

    with pytest.raises(FreshnessError, match="db:orders"):
        require_freshness(value(hours=2), FreshnessPolicy(default=HOUR), now=NOW)


def test_every_ancestor_must_be_allowed() -> None:
    policy = LineagePolicy.from_iter(["db:", "ledger"])

    assert check_lineage(value("db:orders", lineage=("ledger:2026",)), policy)
    assert not check_lineage(value("web:news"), policy)
    with pytest.raises(LineageError, match="web:news"):
        require_lineage(value("db:orders", lineage=("ledger", "web:news")), policy)
    assert check_lineage(value("web:news"), LineagePolicy())


def test_a_time_without_a_zone_is_utc() -> None:
    assert value(fetched_at=datetime(2026, 11, 23, 12)).fetched_at == NOW
    assert check_freshness(value(), FreshnessPolicy(default=HOUR), now=datetime(2026, 11, 23, 12, 30))


def test_one_text_is_no_list_of_sources() -> None:
    with pytest.raises(TypeError, match="a list of prefixes, not 'db:'"):
        LineagePolicy.from_iter("db:")
