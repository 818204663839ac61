from hypothesis import given
from hypothesis import strategies as st

from memory.core.lexical import BUDGET, LexicalIndex, words


def index(*texts: str) -> LexicalIndex:
    made = LexicalIndex()
    for text in texts:
        made.add(text)
    return made


def best(made: LexicalIndex, query: str) -> int:
    scores = made.scores(query, 5)
    return max(scores, key=lambda number: (scores[number], -number))


def test_words_are_lower_case_without_fillers() -> None:
    assert words("What IS the works_at of Çelik-42?") == ["works", "çelik", "42"]


@given(st.text(st.characters(max_codepoint=127)))
def test_words_are_the_same_whether_or_not_a_letter_of_another_script_follows(text: str) -> None:
    assert [*words(text), "çelik"] == words(f"{text} Çelik")


def test_a_rare_word_counts_more_than_a_common_one() -> None:
    made = index("report about tea", "report about finance", "report about finance", "quarterly tea numbers")

    assert best(made, "quarterly report") == 3


def test_a_short_text_beats_a_long_one_with_the_same_word() -> None:
    made = index("passport and many other things that were said that long day", "passport renewed")

    assert best(made, "passport") == 1


def test_a_word_that_most_texts_contain_is_ignored_beside_a_telling_one() -> None:
    made = index(*[f"weather report {number}" for number in range(500)], "weather in Oslo")

    assert set(made.scores("weather Oslo", 5)) == {500}


def test_a_query_of_common_words_only_still_finds_the_newest_texts() -> None:
    made = index(*["hello"] * 500)

    found = made.scores("hello", 100)

    assert sorted(found) == list(range(400, 500))


def test_how_much_is_scored_is_bounded_however_many_texts_there_are() -> None:
    made = index(*[f"tea {number % 2}" if number % 3 else "coffee" for number in range(30_000)])

    assert len(made.scores("coffee", 5)) == BUDGET
    assert len(made.scores("coffee", BUDGET + 100)) == BUDGET + 100


def test_only_what_shall_be_kept_is_scored_even_when_it_is_old() -> None:
    made = index(*["tea"] * 40)

    assert set(made.scores("tea", 5, keep=lambda number: number < 3)) == {0, 1, 2}


def test_an_empty_index_and_a_query_without_words_find_nothing() -> None:
    assert LexicalIndex().scores("tea", 5) == {}
    assert index("tea").scores("is it the ?", 5) == {}
    assert index("", "...").scores("tea", 5) == {}
