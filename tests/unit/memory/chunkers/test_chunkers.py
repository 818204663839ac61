"""What every way of cutting promises, for any text, and what is particular to each."""

from __future__ import annotations

import re
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loom.errors import Unavailable
from memory.core.chunkers import STRATEGIES
from memory.core.chunkers.chunk import chunk
from memory.core.chunkers.markdown import MarkdownChunker
from memory.core.chunkers.recursive import RecursiveChunker
from memory.core.chunkers.sentence import SentenceChunker
from memory.core.chunkers.spans import spans
from memory.core.chunkers.token import TokenChunker
from memory.core.loaders.base import Chunk

CHUNKERS: dict[str, Any] = {
    "recursive": RecursiveChunker,
    "markdown": MarkdownChunker,
    "sentence": SentenceChunker,
    "token": TokenChunker,
}
IN_CHARACTERS = sorted(set(CHUNKERS) - {"token"})
PARTS = [
    " ",
    "\n",
    "\n\n",
    "\t",
    ". ",
    "! ",
    "# ",
    "## ",
    "```\n",
    "a",
    "word",
    "Ein Satz.",
    "。",
    "漢字",
    "😀",
    "x" * 40,
]
TEXTS = st.lists(st.sampled_from(PARTS) | st.text(max_size=8), max_size=60).map("".join)


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int]:
    size = draw(st.integers(1, 60))
    return size, draw(st.integers(0, size - 1))


def contents(chunks: list[Chunk]) -> list[str]:
    return [each.content for each in chunks]


def test_every_way_of_cutting_is_in_this_suite() -> None:
    assert set(STRATEGIES) == set(CHUNKERS)


@pytest.mark.parametrize("name", IN_CHARACTERS)
@given(text=TEXTS, size=sizes())
def test_pieces_are_no_longer_than_asked_and_lose_nothing_but_white_space(
    name: str, text: str, size: tuple[int, int]
) -> None:
    chunks = CHUNKERS[name](*size).split(text)

    assert all(0 < len(each) <= size[0] for each in chunks)
    if size[1] == 0:
        assert "".join("".join(contents(chunks)).split()) == "".join(text.split())
    assert all(each.content == each.content.strip() for each in chunks)


@given(text=TEXTS, size=sizes(), choose=st.randoms(use_true_random=False))
def test_wherever_pieces_begin_and_end_they_follow_one_another_and_overlap_as_asked(
    text: str, size: tuple[int, int], choose: Random
) -> None:
    pieces = spans(
        text,
        *size,
        end=lambda lowest, highest: choose.randint(lowest + 1, highest),
        start=lambda lowest, highest: choose.randint(lowest, highest),
    )

    covered = 0
    for begin, end in pieces:
        assert covered - begin <= size[1]
        assert not text[covered:begin].strip()
        assert max(covered, begin) < end <= begin + size[0]
        assert text[begin:end] == text[begin:end].strip()
        covered = end
    assert not text[covered:].strip()


@given(text=TEXTS, size=sizes())
def test_pieces_of_tokens_are_no_more_than_asked_and_lose_nothing(text: str, size: tuple[int, int]) -> None:
    chunks = TokenChunker(*size).split(text)

    for each in chunks:
        assert each.metadata["token_count"] <= max(size[0], 4) if len(each) == 1 else size[0]
    if size[1] == 0:
        assert "".join("".join(contents(chunks)).split()) == "".join(text.split())


@pytest.mark.parametrize("name", sorted(CHUNKERS))
@pytest.mark.parametrize("text", ["", " ", "\n\n \t\n"])
def test_of_nothing_there_are_no_pieces(name: str, text: str) -> None:
    assert CHUNKERS[name]().split(text) == []


@pytest.mark.parametrize("name", sorted(CHUNKERS))
@pytest.mark.parametrize(
    ("size", "overlap", "message"),
    [
        (0, 0, "chunk_size must be 1 or more, not 0"),
        (9, -1, "chunk_overlap must be 0 or more, not -1"),
        (9, 9, "chunk_overlap must be less than chunk_size \\(9\\), not 9"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(name: str, size: int, overlap: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CHUNKERS[name](size, overlap)


@pytest.mark.parametrize("name", sorted(CHUNKERS))
def test_a_piece_knows_where_it_comes_from(name: str) -> None:
    chunks = CHUNKERS[name](20, 0).split("One sentence here. Another one there. " * 5, source="a.md")

    assert len(chunks) > 1
    assert [each.metadata["index"] for each in chunks] == list(range(len(chunks)))
    assert {each.metadata["source"] for each in chunks} == {"a.md"}
    assert [each.metadata["chunk_size"] for each in chunks] == [len(each) for each in chunks]
    assert {each.metadata["strategy"] for each in chunks} <= {name, f"{name}+recursive"}


@pytest.mark.parametrize("name", sorted(CHUNKERS))
@pytest.mark.parametrize("letters", ["x", " ", "\n", "#", "# ", "`", ".", ".'", "\n ", "漢", "<|endoftext|>"])
def test_a_long_text_of_one_kind_is_cut_like_any_other(name: str, letters: str) -> None:
    text = "# " + letters * (100_000 // len(letters)) + "x"

    found = contents(CHUNKERS[name](800, 0).split(text))

    assert "".join("".join(found).split()) == "".join(text.split())


# recursive


def test_a_text_that_fits_is_one_piece() -> None:
    assert contents(RecursiveChunker(99, 9).split("One.\n\nTwo.\n")) == ["One.\n\nTwo."]


def test_paragraphs_stay_together_before_sentences_and_sentences_before_words() -> None:
    text = "First of all. It is short.\n\nThe second paragraph goes on. And on, for a while longer than the other."

    assert contents(RecursiveChunker(40, 0).split(text)) == [
        "First of all. It is short.",
        "The second paragraph goes on.",
        "And on,",
        "for a while longer than the other.",
    ]


def test_what_is_repeated_begins_with_a_word() -> None:
    chunks = RecursiveChunker(20, 9).split("alpha beta gamma delta epsilon zeta")

    assert contents(chunks) == ["alpha beta gamma", "gamma delta epsilon", "epsilon zeta"]


def test_a_word_that_does_not_fit_is_cut_with_all_of_the_overlap() -> None:
    assert contents(RecursiveChunker(4, 1).split("abcdefgh")) == ["abcd", "defg", "gh"]


def test_separators_can_be_others() -> None:
    assert contents(RecursiveChunker(5, 0, separators=["|"]).split("ab|cd|e f|gh")) == ["ab|", "cd|", "e f|", "gh"]
    assert contents(chunk("ab|cd", chunk_size=4, chunk_overlap=0, separators=["|"])) == ["ab|", "cd"]


# sentence


def test_sentences_are_not_cut_and_repeated_whole() -> None:
    text = 'It rains. Who cares? "We do!" They went home.'

    assert contents(SentenceChunker(22, 0).split(text)) == ["It rains. Who cares?", '"We do!"', "They went home."]
    assert contents(SentenceChunker(22, 11).split(text)) == [
        "It rains. Who cares?",
        'Who cares? "We do!"',
        "They went home.",
    ]


def test_sentences_without_white_space_between_them_are_sentences() -> None:
    assert contents(SentenceChunker(6, 0).split("雨です。家に帰る。")) == ["雨です。", "家に帰る。"]


def test_a_sentence_that_does_not_fit_is_cut_between_words() -> None:
    assert contents(SentenceChunker(12, 0).split("One sentence that is long. Yes.")) == [
        "One sentence",
        "that is",
        "long. Yes.",
    ]


def test_a_number_does_not_end_a_sentence() -> None:
    assert contents(SentenceChunker(20, 0).split("Pi is 3.14 about. Yes it is.")) == ["Pi is 3.14 about.", "Yes it is."]


# markdown


GUIDE = """Before.

# Guide
## Setup
Install it.

```sh
# not a heading
```

### Linux ###
Use apt.

## Use
Run it.
"""


def test_a_section_is_a_piece_that_names_the_headings_above_it() -> None:
    chunks = MarkdownChunker().split(GUIDE)

    assert [(each.metadata["headers"], each.content.partition("\n")[0]) for each in chunks] == [
        ("", "Before."),
        ("Guide > Setup", "# Guide"),
        ("Guide > Setup > Linux", "### Linux ###"),
        ("Guide > Use", "## Use"),
    ]
    assert {each.metadata["strategy"] for each in chunks} == {"markdown"}


def test_a_section_that_does_not_fit_is_cut_and_its_pieces_keep_the_headings() -> None:
    chunks = MarkdownChunker(30, 5).split("# A\nShort.\n# B\n" + "Some words here. " * 6)

    assert [each.metadata["headers"] for each in chunks] == ["A", *["B"] * (len(chunks) - 1)]
    assert [each.metadata["strategy"] for each in chunks] == ["markdown", *["markdown+recursive"] * (len(chunks) - 1)]


def test_a_heading_with_nothing_below_it_is_kept() -> None:
    assert contents(MarkdownChunker().split("# A\n# B\ntext\n# C")) == ["# A", "# B\ntext", "# C"]


@pytest.mark.parametrize("line", ["#no space", "####### seven", "    # code", "\\# escaped"])
def test_what_only_looks_like_a_heading_is_none(line: str) -> None:
    assert [each.metadata["headers"] for each in MarkdownChunker().split(f"# A\ntext\n{line}\ntext")] == ["A"]


def test_a_fence_is_closed_by_its_own_kind_only() -> None:
    chunks = MarkdownChunker().split("# A\n````\n```\n~~~~\n# code\n````\ntext\n# B\ntext")

    assert [each.metadata["headers"] for each in chunks] == ["A", "B"]


# token


def test_tokens_are_counted_and_repeated_as_asked() -> None:
    chunks = TokenChunker(4, 1).split("one two three four five six seven")

    assert contents(chunks) == ["one two three four", " four five six seven"]
    assert [each.metadata["token_count"] for each in chunks] == [4, 4]
    assert {each.metadata["encoding"] for each in chunks} == {"cl100k_base"}


def test_a_character_of_many_tokens_is_not_cut() -> None:
    assert contents(TokenChunker(1, 0).split("😀a")) == ["😀", "a"]


def test_the_table_of_tokens_is_at_hand_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import requests
    import tiktoken.registry

    from memory.core.chunkers import token

    def offline(*args: Any, **kwargs: Any) -> None:
        raise requests.ConnectionError("no network")

    monkeypatch.setattr(requests, "get", offline)
    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {})
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    token._encoding.cache_clear()

    assert len(TokenChunker(2, 0).split("one two three")) == 2
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    with pytest.raises(Unavailable, match=r"table of the encoding 'o200k_base' could not be fetched .*no network"):
        TokenChunker(encoding="o200k_base").split("text")


def test_an_encoding_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match="no encoding 'klingon'; one of cl100k_base"):
        TokenChunker(encoding="klingon").split("text")


# one function for all


@pytest.mark.parametrize("name", sorted(CHUNKERS))
def test_one_function_cuts_in_all_ways(name: str) -> None:
    text = "# Title\n\nOne sentence here. Another one there.\n" * 9

    chunks = chunk(text, strategy=name, chunk_size=50, chunk_overlap=5, source="a.md")

    assert chunks == CHUNKERS[name](50, 5).split(text, source="a.md")


def test_a_way_of_cutting_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match=re.escape("no strategy 'page' for chunks; one of recursive, markdown")):
        chunk("text", strategy="page")
