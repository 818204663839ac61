from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from memory.core.values import Episode, Fact, MemoryBlock


@pytest.mark.parametrize("predicate", ["worksAt", "Works At", "works-at", "_works_at_", "WORKS AT"])
def test_a_predicate_has_one_spelling(predicate: str) -> None:
    assert Fact(subject="ann", predicate=predicate, object="Acme").predicate == "works_at"


def test_a_fact_reads_as_a_sentence_with_its_doubt_and_its_end() -> None:
    fact = Fact(
        subject="ann",
        predicate="lives_in",
        object="Rome",
        confidence=0.95,
        valid_until=datetime(2026, 1, 1, tzinfo=UTC),
    )

    assert fact.format() == "ann lives_in Rome [confidence 0.95] (until 2026-01-01T00:00:00+00:00)"
    assert Fact(subject="ann", predicate="likes", object="tea").format() == "ann likes tea"


def test_a_moment_without_a_zone_is_utc() -> None:
    episode = Episode(session_id="s", input="a", output="b", occurred_at=datetime(2026, 1, 1))

    assert episode.occurred_at == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_block_stands_between_its_name() -> None:
    assert MemoryBlock(name="goals", content="sleep").format() == "<goals>\nsleep\n</goals>"


def test_values_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Fact(subject="ann", predicate="likes", object="tea").object = "mate"
