"""Facts in this process: one open fact for each user, subject and predicate.

A new object ends the open fact where the new one begins. One that arrives late, about an earlier time, ends where the
next known one begins: no fact ends before it starts.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from math import sqrt
from operator import mul

from loom.messages import utcnow
from memory.core.lexical import LexicalIndex
from memory.core.protocol import Embedder
from memory.core.recall import warn_unless_isolated
from memory.core.values import Fact, as_utc, canonical_predicate

Scored = tuple[float, Fact]
Vector = Sequence[float]
_AT_LEAST = 128  # facts are short, and many fit a question equally well: so many are compared


class InMemoryFactStore:
    """Facts partitioned by user, found by words or, with an embedder, by cosine similarity.

    Equally good facts come shortest first, then last recorded, then by id: the same question always gets the same
    answer.
    """

    def __init__(self, *, embedder: Embedder | None = None) -> None:
        self._embedder = embedder
        self._users: dict[str | None, _Partition] = {}

    @property
    def embedder(self) -> Embedder | None:
        return self._embedder

    async def append(self, fact: Fact) -> str:
        (fact_id,) = await self.append_many([fact])
        return fact_id

    async def append_many(self, facts: Iterable[Fact]) -> list[str]:
        """Add facts, each under its own user. The embedder is called once, before any fact is stored."""
        facts = list(facts)
        vectors: Sequence[Vector | None] = [None] * len(facts)
        if self._embedder is not None and facts:
            vectors = await self._embedder.embed_batch([fact.text() for fact in facts])
        for fact, vector in zip(facts, vectors, strict=True):
            self._add(fact, vector)
        return [fact.id for fact in facts]

    async def query(
        self,
        *,
        subject: str | None = None,
        predicate: str | None = None,
        object_: str | None = None,
        valid_at: datetime | None = None,
        limit: int = 10,
        user_id: str | None = None,
    ) -> list[Fact]:
        wanted = None if predicate is None else canonical_predicate(predicate)
        moment = None if valid_at is None else as_utc(valid_at)
        found = [
            fact
            for fact in reversed(self._of(user_id))
            if (subject is None or fact.subject == subject)
            and (wanted is None or fact.predicate == wanted)
            and (object_ is None or fact.object == object_)
            and (moment is None or fact.holds_at(moment))
        ]
        found.sort(key=lambda fact: fact.recorded_at, reverse=True)
        return found[: max(limit, 0)]

    async def recall_text(
        self, query: str, *, limit: int = 5, valid_at: datetime | None = None, user_id: str | None = None
    ) -> list[Fact]:
        warn_unless_isolated(user_id, named_users=len(self._users) > (None in self._users))
        moment = utcnow() if valid_at is None else as_utc(valid_at)
        if not query.strip():
            return await self.query(valid_at=moment, limit=limit, user_id=user_id)
        vector = None if self._embedder is None else await self._embedder.embed(query)
        partition = self._users.get(user_id)
        if partition is None:
            return []
        scored = partition.by_words(query, limit, moment) if vector is None else partition.by_meaning(vector, moment)
        return best(scored, limit)

    async def all_facts(self) -> list[Fact]:
        return [fact for user_id in self._users for fact in self._of(user_id)]

    async def forget(
        self, *, user_id: str | None, before: datetime | None = None, sources: Collection[str] | None = None
    ) -> int:
        partition = self._users.pop(user_id, None)
        if partition is None:
            return 0
        until = None if before is None else as_utc(before)
        kept = partition.only(lambda fact: left_of(fact, before=until, sources=sources))
        if kept.facts:
            self._users[user_id] = kept
        return len(partition.facts) - len(kept.facts)

    async def aclose(self) -> None:
        """Nothing to close."""

    def snapshot(self) -> dict[str, Fact]:
        """The facts of all users, by id."""
        return {fact.id: fact for user_id in self._users for fact in self._of(user_id)}

    def _add(self, fact: Fact, vector: Vector | None) -> None:
        partition = self._users.setdefault(fact.user_id, _Partition())
        if fact.id in partition.facts:
            partition = self._users[fact.user_id] = partition.only(lambda other: None if other.id == fact.id else other)
        partition.add(fact, vector)

    def _of(self, user_id: str | None) -> list[Fact]:
        partition = self._users.get(user_id)
        return [] if partition is None else list(partition.facts.values())


def best(scored: Iterable[Scored], limit: int) -> list[Fact]:
    """The facts with the highest scores; of equally good ones the shortest, the last recorded, then by id."""
    order = sorted(
        scored, key=lambda pair: (-pair[0], len(pair[1].text()), -pair[1].recorded_at.timestamp(), pair[1].id)
    )
    return [fact for _, fact in order[: max(limit, 0)]]


class _Partition:
    """The facts of one user."""

    def __init__(self) -> None:
        self.facts: dict[str, Fact] = {}
        self._vectors: dict[str, Vector] = {}
        self._open: dict[tuple[str, str], set[str]] = {}
        self._starts: dict[tuple[str, str], list[tuple[datetime, str]]] = {}
        self._words = LexicalIndex()
        self._ids: list[str] = []  # by their number in the index

    def add(self, fact: Fact, vector: Vector | None) -> None:
        key = (fact.subject, fact.predicate)
        for other_id in list(self._open.get(key, ())):
            other = self.facts[other_id]
            if other.object != fact.object and other.valid_from <= fact.valid_from:
                self.facts[other_id] = other.model_copy(update={"valid_until": fact.valid_from})
                self._open[key].discard(other_id)
        self._store(self._ended_by_next(fact), vector)

    def only(self, left: Callable[[Fact], Fact | None]) -> _Partition:
        """The partition that is left when each fact is replaced by what is left of it."""
        kept = _Partition()
        for fact in self.facts.values():
            rest = left(fact)
            if rest is not None:
                kept._store(rest, self._vectors.get(fact.id))
        return kept

    def by_words(self, query: str, limit: int, moment: datetime) -> list[Scored]:
        holds = lambda number: self.facts[self._ids[number]].holds_at(moment)  # noqa: E731
        scores = self._words.scores(query, max(limit, _AT_LEAST), keep=holds)
        return [(score, self.facts[self._ids[number]]) for number, score in scores.items()]

    def by_meaning(self, vector: Vector, moment: datetime) -> list[Scored]:
        return [
            (cosine(vector, self._vectors[fact.id]), fact)
            for fact in self.facts.values()
            if fact.id in self._vectors and fact.holds_at(moment)
        ]

    def _ended_by_next(self, fact: Fact) -> Fact:
        starts = self._starts.get((fact.subject, fact.predicate), [])
        for begins_at, object_ in starts[bisect_right(starts, fact.valid_from, key=lambda start: start[0]) :]:
            if object_ != fact.object:
                ends_at = begins_at if fact.valid_until is None else min(begins_at, fact.valid_until)
                return fact.model_copy(update={"valid_until": ends_at})
        return fact

    def _store(self, fact: Fact, vector: Vector | None) -> None:
        key = (fact.subject, fact.predicate)
        self.facts[fact.id] = fact
        if fact.valid_until is None:
            self._open.setdefault(key, set()).add(fact.id)
        insort(self._starts.setdefault(key, []), (fact.valid_from, fact.object))
        if vector is not None:
            self._vectors[fact.id] = vector
        self._words.add(fact.text())
        self._ids.append(fact.id)


def settled(fact: Fact, others: Iterable[Fact]) -> tuple[Fact, list[Fact]]:
    """A fact as it is kept beside others of its user, subject and predicate; and those of them that it ends."""
    differing = [other for other in others if other.object != fact.object]
    ended = [
        other.model_copy(update={"valid_until": fact.valid_from})
        for other in differing
        if other.valid_until is None and other.valid_from <= fact.valid_from
    ]
    following = [other.valid_from for other in differing if other.valid_from > fact.valid_from]
    if following:
        ends_at = min(following) if fact.valid_until is None else min(*following, fact.valid_until)
        fact = fact.model_copy(update={"valid_until": ends_at})
    return fact, ended


class Revision:
    """Facts of one user, by id, while some arrive and some are erased: for a store that then writes what came of it."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self.facts: dict[str, Fact] = {}
        self._about: defaultdict[tuple[str, str], dict[str, Fact]] = defaultdict(dict)
        for fact in facts:
            self._set(fact)
        self.new: dict[str, Fact] = {}  # with a vector and an order of their own, also in place of one of their id
        self.changed: dict[str, Fact] = {}  # otherwise what they were
        self.gone: dict[str, Fact] = {}  # as they were stored

    def add(self, fact: Fact) -> None:
        """Add a fact by the rules, in place of one with its id."""
        self.remove(fact.id)
        fact, ended = settled(fact, self._about[fact.subject, fact.predicate].values())
        for other in ended:
            self.replace(other)
        self._set(fact)
        self.new[fact.id] = fact

    def replace(self, fact: Fact) -> None:
        """Put a fact in place of one that has its id, statement, beginning and time of recording."""
        self._set(fact)
        (self.new if fact.id in self.new else self.changed)[fact.id] = fact

    def remove(self, fact_id: str) -> None:
        fact = self.facts.pop(fact_id, None)
        if fact is None:
            return
        del self._about[fact.subject, fact.predicate][fact_id]
        self.changed.pop(fact_id, None)
        if self.new.pop(fact_id, None) is None:
            self.gone[fact_id] = fact

    def _set(self, fact: Fact) -> None:
        self.facts[fact.id] = self._about[fact.subject, fact.predicate][fact.id] = fact


def left_of(fact: Fact, *, before: datetime | None, sources: Collection[str] | None) -> Fact | None:
    """What is left of a fact when those recorded before a moment, or read from some sources, are erased."""
    if before is not None and fact.recorded_at >= before:
        return fact
    if sources is None:
        return None
    rest = [source for source in fact.sources if source not in sources]
    if len(rest) == len(fact.sources):
        return fact
    return fact.model_copy(update={"sources": rest}) if rest else None


def cosine(one: Vector, other: Vector) -> float:
    scale = sqrt(sum(map(mul, one, one)) * sum(map(mul, other, other)))
    return sum(map(mul, one, other)) / scale if scale else 0.0
