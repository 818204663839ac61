"""What new facts change about the facts that are kept, by the rules of `memory.core.facts`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from memory.core.values import Fact

Owned = tuple[str, Fact]
_Key = tuple[str, str, str]


def settle(known: Iterable[Owned], new: Iterable[Owned]) -> tuple[list[Owned], list[Owned]]:
    """Which known facts now end, and what to add. Facts come with their owners, in the order in which they arrived.

    `known` are those about the same subjects and predicates. Of an id that is new twice the last fact stays.
    """
    timelines: defaultdict[_Key, dict[str, Fact]] = defaultdict(dict)
    for owner, fact in known:
        timelines[_key(owner, fact)][fact.id] = fact
    ended: dict[tuple[str, str], Fact] = {}
    added: dict[tuple[str, str], _Key] = {}
    for owner, fact in new:
        key = _key(owner, fact)
        before = added.pop((owner, fact.id), key)
        timelines[before].pop(fact.id, None)
        timelines[key].pop(fact.id, None)
        for other in _ended_by(timelines[key], fact):
            timelines[key][other.id] = other
            ended[owner, other.id] = other
        timelines[key][fact.id] = _ended_by_next(timelines[key], fact)
        added[owner, fact.id] = key
    return (
        [(owner, fact) for (owner, fact_id), fact in ended.items() if (owner, fact_id) not in added],
        [(owner, timelines[key][fact_id]) for (owner, fact_id), key in added.items()],
    )


def _key(owner: str, fact: Fact) -> _Key:
    return owner, fact.subject, fact.predicate


def _ended_by(timeline: dict[str, Fact], fact: Fact) -> list[Fact]:
    return [
        other.model_copy(update={"valid_until": fact.valid_from})
        for other in timeline.values()
        if other.valid_until is None and other.object != fact.object and other.valid_from <= fact.valid_from
    ]


def _ended_by_next(timeline: dict[str, Fact], fact: Fact) -> Fact:
    starts = [
        other.valid_from
        for other in timeline.values()
        if other.object != fact.object and other.valid_from > fact.valid_from
    ]
    if not starts:
        return fact
    ends = min(starts) if fact.valid_until is None else min(*starts, fact.valid_until)
    return fact.model_copy(update={"valid_until": ends})
