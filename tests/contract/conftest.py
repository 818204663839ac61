"""Fixtures that several of the contract's suites share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents.core.runtime.journaled import JournaledRuntime
from tests.contract.durable import KINDS, new_place, opened


@pytest.fixture(params=KINDS)
async def durable(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[JournaledRuntime]:
    async with opened(request.param, new_place(request.param, tmp_path)) as runtime:
        yield runtime
