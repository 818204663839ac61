"""How a change of arguments is shown."""

from __future__ import annotations

from governance.core.differences import differences


def test_every_argument_says_what_became_of_it() -> None:
    found = differences({"kept": 1, "gone": "x", "other": [1, 2]}, {"other": [1, 3], "kept": 1, "fresh": True})

    assert [(one.name, one.fate) for one in found] == [
        ("kept", "same"), ("gone", "removed"), ("other", "changed"), ("fresh", "added"),
    ]  # fmt: skip
    assert found[1].lines == (("-", "x"),)
    assert found[2].lines == ((" ", "["), (" ", "  1,"), ("-", "  2"), ("+", "  3"), (" ", "]"))
    assert found[3].lines == (("+", "true"),)


def test_a_text_and_a_number_that_look_alike_are_told_apart() -> None:
    [one] = differences({"amount": "5"}, {"amount": 5})

    assert (one.fate, one.lines) == ("changed", (("-", '"5"'), ("+", "5")))


def test_of_a_long_text_only_the_lines_that_changed_are_marked() -> None:
    [one] = differences({"body": "Dear Maria,\n\nthanks."}, {"body": "Dear Ben,\n\nthanks."})

    assert one.lines == (("-", "Dear Maria,"), ("+", "Dear Ben,"), (" ", ""), (" ", "thanks."))


def test_the_order_within_an_object_is_no_change() -> None:
    [one] = differences({"to": {"a": 1, "b": 2}}, {"to": {"b": 2, "a": 1}})

    assert one.fate == "same"
