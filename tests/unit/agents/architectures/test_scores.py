"""Reading the scores that models write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.architectures.scores import read_score

READABLE = [
    ("score: 0.8", 0.8),
    ("Score = 1", 1.0),
    ("0.85", 0.85),
    (" .5 ", 0.5),
    ("score: 0,8", 0.8),
    ("8/10", 0.8),
    ("8 / 10.", 0.8),
    ("85%", 0.85),
    ("7 out of 10", 0.7),
    ("score: 8/10", 0.8),
    ("score: 85 percent", 0.85),
    ("I would give this 7 out of 10, since the sum is wrong.", 0.7),
    ("**Score:** 8/10", 0.8),
    ("- Score (0-1): 0.4", 0.4),
    ("Rating: eight out of ten", 0.8),
    ("score: one", 1.0),
    ('{"score": 0.3, "summary": "meh"}', 0.3),
    ('```json\n{"score": "3/5"}\n```', 0.6),
    ("The style is fine.\n\n0.6\n", 0.6),
    ("At first I thought score: 0.9, but the facts are wrong.\nscore: 0.2", 0.2),
    ("A score of 0.7 is fair.", 0.7),
    ("The score is 4/5 stars", 0.8),
    ("score: 1.2", 1.0),
    ("score: -0.3", 0.0),
    ("score: 0/10", 0.0),
]

NONSENSE = [
    "",
    "excellent",
    "score: great",
    "score: 8",
    "8",
    "85",
    "score: 120%",
    "score: 11/10",
    "0/0",
    "score: nan",
    "score: inf",
    "score: 1e9",
    "score: N/A",
    "accuracy 8/10, style 3/10",
    "I fixed 3 of the 10 errors",
    "half of the steps, 50% or so, are right",
    "underscore: 0.9",
    "0.1\n0.9",
]


@pytest.mark.parametrize(("text", "score"), READABLE)
def test_a_score_is_read_on_its_own_scale(text, score):
    assert read_score(text) == pytest.approx(score)


@pytest.mark.parametrize("text", NONSENSE)
def test_what_is_no_score_is_not_taken_for_one(text):
    assert read_score(text) is None


@given(st.text())
def test_no_text_breaks_the_reading_or_leaves_the_scale(text):
    score = read_score(text)

    assert score is None or 0 <= score <= 1


@given(
    st.integers(1, 100).flatmap(lambda whole: st.tuples(st.integers(0, whole), st.just(whole))),
    st.sampled_from(
        ["{}/{}", "score: {}/{}", "Score: **{} out of {}**", '{{"score": "{} / {}"}}', "I say {} out of {}."]
    ),
)
def test_a_share_means_the_same_in_every_spelling(share, spelling):
    part, whole = share

    assert read_score(spelling.format(part, whole)) == pytest.approx(part / whole)


@given(st.floats(0, 1), st.sampled_from(["{:.3f}", "score: {:.3f}", "rating = {:.3f}", '{{"score": {:.3f}}}']))
def test_a_bare_number_is_read_as_it_stands(value, spelling):
    assert read_score(spelling.format(value)) == pytest.approx(value, abs=0.001)


def test_another_label_can_be_asked_for():
    assert read_score("route: billing\nconfidence: 90%", labels=["confidence"]) == pytest.approx(0.9)
