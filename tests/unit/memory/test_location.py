import pytest

from memory.core.backends.location import shown


@pytest.mark.parametrize(
    ("location", "without"),
    [
        ("postgresql://ann:secret@db:5432/app", "postgresql://ann:***@db:5432/app"),
        ("postgresql://ann:se/c@ret@db/app?sslmode=require", "postgresql://ann:***@db/app?sslmode=require"),
        ("postgresql://ann@db/app", "postgresql://ann@db/app"),
        ("postgresql://db:5432/app", "postgresql://db:5432/app"),
        ("postgresql://db/app?user=ann&password=secret&x=1", "postgresql://db/app?user=ann&password=***&x=1"),
        ("host=db password='sec ret' user=ann", "host=db password=*** user=ann"),
        ("host=db sslpassword = secret user=ann", "host=db sslpassword = *** user=ann"),
        ("redis://:secret@cache:6379/0", "redis://:***@cache:6379/0"),
        ("redis://cache:6379/0", "redis://cache:6379/0"),
    ],
)
def test_a_location_is_shown_without_its_passwords(location: str, without: str) -> None:
    assert shown(location) == without
    assert "sec" not in shown(location)
