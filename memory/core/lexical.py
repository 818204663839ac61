"""Finding texts by their words: BM25 (Robertson and Zaragoza, 2009) over an inverted index.

The cost of a search is bounded however long the history grows. Words are looked up from the rarest to the commonest
until `BUDGET` occurrences were scored, of each word the newest first. A word that most texts contain tells nothing
about any of them: such words are ignored unless the query has no other.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import islice
from math import log
from operator import itemgetter

K1 = 1.5
B = 0.75
BUDGET = 48
COMMON_FROM = 64  # with fewer texts nothing counts as common
COMMON_WINDOW = 16  # of a common word, so many occurrences are scored

_WORD = re.compile(r"[^\W_]{2,}")
_GAPS = {code: " " for code in range(128) if not chr(code).isalnum()}
_FILLERS = """
an and any are as at be been but by can could did do does for from had has have he her him his how if in is it its just
me my of on or our she should so some tell than that the their them then there they this to us was we were what when
where which who why will with would you your
"""
_STOP = frozenset(_FILLERS.split())


def words(text: str) -> list[str]:
    """The words of a text that are worth searching for: lower case, two characters or more, no filler words."""
    folded = text.casefold()
    if folded.isascii():  # the same in a fraction of the time
        return [word for word in folded.translate(_GAPS).split() if len(word) > 1 and word not in _STOP]
    return [word for word in _WORD.findall(folded) if word not in _STOP]


def plan(counts: Mapping[str, int], *, texts: int, limit: int) -> list[tuple[str, int]]:
    """Which words to score, the rarest first, and of how many of their newest texts each.

    `counts` says in how many of the `texts` each word of a query occurs, in the order of the query.
    """
    found = sorted(((count, word) for word, count in counts.items() if count), key=itemgetter(0))
    telling = [(count, word) for count, word in found if texts < COMMON_FROM or 2 * count <= texts]
    if not telling:
        return [(word, max(limit, COMMON_WINDOW)) for _, word in found[:1]]
    planned, left = [], max(limit, BUDGET)
    for count, word in telling:
        if left <= 0:
            break
        planned.append((word, left))
        left -= count
    return planned


def weight(count: int, texts: int) -> float:
    """What a word tells that is in `count` of `texts`."""
    return log(1 + (texts - count + 0.5) / (count + 0.5)) * (K1 + 1)


def part(times: int, length: int, mean_length: float) -> float:
    """How much of a word's weight a text gets in which it occurs so many times."""
    return times / (times + K1 * (1 - B + B * length / (mean_length or 1)))


class LexicalIndex:
    """Which text contains which words. Texts are numbered from 0 in the order in which they were added."""

    __slots__ = ("_lengths", "_occurrences", "_total")

    def __init__(self) -> None:
        self._occurrences: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)  # word → (text, times)
        self._lengths: list[int] = []
        self._total = 0

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self, text: str) -> int:
        """Add a text and return its number."""
        number = len(self._lengths)
        found = words(text)
        counts: dict[str, int] = {}
        for word in found:
            counts[word] = counts.get(word, 0) + 1
        for word, times in counts.items():
            self._occurrences[word].append((number, times))
        self._lengths.append(len(found))
        self._total += len(found)
        return number

    def scores(self, query: str, limit: int, *, keep: Callable[[int], bool] | None = None) -> dict[int, float]:
        """Number → BM25 score of texts that share a word with the query: `limit` of them and more, where there are.

        `keep` restricts the search to some texts; then the texts in question are looked for through all of them.
        """
        scores: dict[int, float] = {}
        texts, lengths = len(self._lengths), self._lengths
        short, long = K1 * (1 - B), K1 * B * texts / (self._total or 1)
        for found, most in self._plan(query, limit):
            weight = log(1 + (texts - len(found) + 0.5) / (len(found) + 0.5)) * (K1 + 1)
            newest = found[-most:] if keep is None else _last_kept(found, most, keep)
            for number, times in newest:
                part = weight * times / (times + short + long * lengths[number])
                scores[number] = scores[number] + part if number in scores else part
        return scores

    def _plan(self, query: str, limit: int) -> list[tuple[list[tuple[int, int]], int]]:
        """What to score: the occurrences of a word, and how many of them."""
        occurrences, texts = self._occurrences, len(self._lengths)
        found = [occurrences[word] for word in dict.fromkeys(words(query)) if word in occurrences]
        found.sort(key=len)
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


def _last_kept(found: list[tuple[int, int]], most: int, keep: Callable[[int], bool]) -> list[tuple[int, int]]:
    return list(islice((pair for pair in reversed(found) if keep(pair[0])), most))
