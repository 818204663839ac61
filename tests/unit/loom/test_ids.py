"""Identifiers."""

from __future__ import annotations

import re
import time

from ulid import ULID

from loom.ids import new_id
from loom.messages import ToolCall


def test_an_id_is_a_ulid_of_this_moment_behind_its_prefix() -> None:
    before = time.time_ns() // 1_000_000
    made = new_id("run")
    after = time.time_ns() // 1_000_000

    assert re.fullmatch(r"run_[0-9A-HJKMNP-TV-Z]{26}", made)
    assert before <= ULID.from_str(made.removeprefix("run_")).milliseconds <= after


def test_ids_are_different_and_sort_by_the_time_they_were_made() -> None:
    first = new_id()
    time.sleep(0.002)
    later = [new_id() for _ in range(1000)]

    assert len({first, *later}) == 1001
    assert first < min(later)


def test_texts_with_half_characters_have_hashes_of_their_own() -> None:
    calls = [ToolCall(id="c1", tool="write", args={"text": text}) for text in ("\ud83d", "\ud83e", "?")]

    assert len({call.idempotency_key() for call in calls}) == 3
