"""Identifiers."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from loom.ids import canonical, new_id
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


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_the_canonical_text_is_that_of_the_json_encoder_with_sorted_keys(value: Any) -> None:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)

    assert canonical(value) == text


def test_what_json_does_not_know_is_written_as_its_text() -> None:
    assert canonical({"b": datetime(2026, 11, 28, tzinfo=UTC), "a": 1}) == '{"a":1,"b":"2026-11-28 00:00:00+00:00"}'


def test_a_value_that_holds_itself_has_no_canonical_text() -> None:
    loop: list[Any] = []
    loop.append(loop)

    with pytest.raises(ValueError, match="Circular"):
        canonical(loop)
