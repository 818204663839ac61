"""One platform for all tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.chaos import drive


@pytest.fixture(scope="package")
def arena() -> Iterator[drive.Arena]:
    print(f"seed {drive.SEED}: LOOM_CHAOS_SEED={drive.SEED} repeats the choices")  # noqa: T201
    with drive.arena() as made:
        yield made
    shutil.rmtree(made.folder)


@pytest.fixture(scope="package")
def acme(arena: drive.Arena) -> drive.Tenant:
    return arena.tenant("acme")


@pytest.fixture
def tenant(acme: drive.Tenant) -> Iterator[drive.Tenant]:
    """A tenant whose runs must all be whole when the test is over; the test's workers are gone then."""
    yield acme
    acme.arena.keep(0)
    assert acme.broken() == [], f"seed {drive.SEED}"
