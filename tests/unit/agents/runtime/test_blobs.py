"""What a row keeps of a large record, and that all of it comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.runtime import blobs
from agents.core.runtime.blobs import LIMIT, pack, unpack
from loom.errors import RuntimeJournalError

LARGE = "x" * (LIMIT + 1)
SMALL: Any = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.just("$blob"), st.just({"$blob": "0" * 64})
)
ANYTHING: Any = st.recursive(
    st.one_of(SMALL, st.integers(30, 90).map(lambda kib: "y" * kib * 1024)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "b", "$blob", "size"]), inner, max_size=3)
    ),
    max_leaves=8,
)


def read(data: dict[str, Any]) -> dict[str, Any]:
    packed = pack(data)
    return unpack(json.loads(packed.text), packed.blobs) if packed.version > 1 else json.loads(packed.text)


@given(st.dictionaries(st.sampled_from(["value", "args", "$blob"]), ANYTHING, max_size=3))
def test_what_is_packed_comes_back_as_it_was(data: dict[str, Any]) -> None:
    assert read(data) == data


@given(st.dictionaries(st.sampled_from(["value", "args"]), ANYTHING, max_size=2))
def test_no_row_is_larger_than_its_values_may_be(data: dict[str, Any]) -> None:
    assert len(pack(data).text) <= 2 * (LIMIT + 100)


def test_a_small_record_stays_as_it_is_and_old_code_reads_it() -> None:
    packed = pack({"value": "é" * (LIMIT // 2 - 100)})

    assert (packed.blobs, packed.version) == ({}, 1)


def test_only_what_is_large_is_taken_out() -> None:
    packed = pack({"value": {"call_id": "c", "ok": True, "output": {"page": 1, "text": LARGE}}, "stream": True})

    [(digest, body)] = packed.blobs.items()
    reference = {"$blob": digest, "size": len(LARGE) + 2}
    assert json.loads(body) == LARGE
    assert json.loads(packed.text)["value"] == {"call_id": "c", "ok": True, "output": {"page": 1, "text": reference}}


def test_many_small_values_are_taken_out_together() -> None:
    packed = pack({"value": {"ok": True, "output": [{"n": n} for n in range(10_000)]}})

    assert len(packed.blobs) == 1
    assert json.loads(packed.text)["value"]["ok"] is True


def test_the_same_value_has_the_same_name_wherever_it_is() -> None:
    call, result = pack({"args": {"text": LARGE}}), pack({"value": {"output": LARGE}})

    assert call.blobs == result.blobs


def test_a_value_that_is_gone_is_named() -> None:
    packed = pack({"value": LARGE})

    with pytest.raises(RuntimeJournalError, match=next(iter(packed.blobs))):
        unpack(json.loads(packed.text), {})


def test_a_later_version_is_refused() -> None:
    with pytest.raises(RuntimeJournalError, match="update loom"):
        blobs.check_version(blobs.VERSION + 1)
