"""The JSON form of any value."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from audit.core.canonical import plain
from loom.ids import canonical


class Color(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: float


class Note(BaseModel):
    text: str
    key: SecretStr = SecretStr("hidden")


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (datetime(2026, 11, 23, 15, tzinfo=UTC), "2026-11-23T15:00:00+00:00"),
        (date(2026, 11, 23), "2026-11-23"),
        (timedelta(minutes=1, milliseconds=5), "PT60.005000S"),
        (b"\x00\xff", "base64:AP8="),
        ({"b", "a"}, ["a", "b"]),
        (frozenset({2, 1}), [1, 2]),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        (float("nan"), "nan"),
        (-0.0, 0.0),
        (1e22, 10**22),
        pytest.param(10**5000, hex(10**5000), id="huge"),
        (Decimal("1.10"), "1.10"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Path("/a/b"), "/a/b"),
        (Color.RED, "red"),
        (Point(1, 2.5), {"x": 1, "y": 2.5}),
        (Note(text="hi"), {"text": "hi", "key": "SecretStr('**********')"}),
        (ValueError("no"), "ValueError: no"),
        ({1: "a", None: "b", (1, 2): "c"}, {"1": "a", "null": "b", "[1,2]": "c"}),
        ("a\0b\ud800", "a\\x00b\\ud800"),
        ((1, (2,)), [1, [2]]),
        (int, "builtins.int"),
    ],
)
def test_every_value_has_a_json_form(value: Any, form: Any) -> None:
    assert plain(value) == form
    assert type(plain(value)) is type(form)


def test_an_object_that_raises_is_described() -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert plain({"it": Hostile()}) == {"it": "<Hostile that cannot be read: RuntimeError>"}


def test_a_value_that_holds_itself_ends() -> None:
    loop: list[Any] = [1]
    loop += [loop, loop]

    assert plain(loop) == [1, "<itself>", "<itself>"]


def test_a_value_that_unfolds_without_end_is_cut() -> None:
    bomb: list[Any] = []
    for _ in range(60):
        bomb = [bomb, bomb]

    assert "<too large to write down>" in json.dumps(plain(bomb))


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.timedeltas(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.frozensets(st.text()),
    max_leaves=20,
)


@given(ANYTHING)
def test_the_form_reads_the_same_after_a_file_and_after_another_round(value: Any) -> None:
    form = plain(value)
    text = canonical(form)

    assert canonical(json.loads(text.encode())) == text
    assert canonical(plain(form)) == text
