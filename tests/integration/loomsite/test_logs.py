"""What the processes write to their logs."""

from __future__ import annotations

import logging

import pytest


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_addresses_of_requests_which_may_hold_a_key_are_not_logged(name: str) -> None:
    assert not logging.getLogger(name).isEnabledFor(logging.INFO)
