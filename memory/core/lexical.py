"""Finding texts by their words: BM25 (Robertson and Zaragoza, 2009) over an inverted index.

The cost of a search is bounded however long the history grows. Words are looked up from the rarest to the commonest
until `BUDGET` occurrences were scored, of each word the newest first. A word that most texts contain tells nothing
about any of them: such words are ignored unless the query has no other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from itertools import islice
from math import log

K1 = 1.5
B = 0.75
BUDGET = 128
COMMON_FROM = 64  # with fewer texts nothing counts as common
COMMON_WINDOW = 16  # of a common word, so many occurrences are scored

_WORD = re.compile(r"[^\W_]+")
_FILLERS = """
an and any are as at be been but by can could did do does for from had has have he her him his how if in is it its just
me my of on or our she should so some tell than that the their them then there they this to us was we were what when
where which who why will with would you your
"""
_STOP = frozenset(_FILLERS.split())


def words(text: str) -> list[str]:
    """The words of a text that are worth searching for: lower case, two characters or more, no filler words."""
    return [word for word in _WORD.findall(text.casefold()) if len(word) > 1 and word not in _STOP]


class LexicalIndex:
    """Which text contains which words. Texts are numbered from 0 in the order in which they were added."""

    __slots__ = ("_lengths", "_occurrences", "_total")

    def __init__(self) -> None:
        self._occurrences: dict[str, list[tuple[int, int]]] = {}  # word → (text, times), oldest first
        self._lengths: list[int] = []
        self._total = 0

    def add(self, text: str) -> int:
        """Add a text and return its number."""
        number = len(self._lengths)
        counts = Counter(words(text))
        for word, times in counts.items():
            self._occurrences.setdefault(word, []).append((number, times))
        length = counts.total()
        self._lengths.append(length)
        self._total += length
        return number

    def scores(self, query: str, limit: int, *, keep: Callable[[int], bool] | None = None) -> dict[int, float]:
        """Number → BM25 score of texts that share a word with the query: `limit` of them and more, where there are.

        `keep` restricts the search to some texts; then the texts in question are looked for through all of them.
        """
        scores: dict[int, float] = {}
        if not self._lengths:
            return scores
        average = self._total / len(self._lengths) or 1.0
        for found, most in self._plan(query, limit):
            weight = log(1 + (len(self._lengths) - len(found) + 0.5) / (len(found) + 0.5)) * (K1 + 1)
            newest = reversed(found) if keep is None else (pair for pair in reversed(found) if keep(pair[0]))
            for number, times in islice(newest, most):
                damping = K1 * (1 - B + B * self._lengths[number] / average)
                scores[number] = scores.get(number, 0.0) + weight * times / (times + damping)
        return scores

    def _plan(self, query: str, limit: int) -> list[tuple[list[tuple[int, int]], int]]:
        """What to score: the occurrences of a word, and how many of them."""
        found = [self._occurrences[word] for word in dict.fromkeys(words(query)) if word in self._occurrences]
        found.sort(key=len)
        texts = len(self._lengths)
        telling = [each for each in found if texts < COMMON_FROM or 2 * len(each) <= texts]
        if not telling:
            return [(each, max(limit, COMMON_WINDOW)) for each in found[:1]]
        plan, left = [], max(limit, BUDGET)
        for each in telling:
            if left <= 0:
                break
            plan.append((each, left))
            left -= len(each)
        return plan
