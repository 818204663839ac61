"""Which episode contains which words: the index of `memory.core.lexical`, as one order for each user.

A member says word, when, place, how often, and how many words the episode has.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from memory.core.backends.redis.keys import Instants, Keys, bounds, instant, member, newest_of
from memory.core.backends.redis.server import Command, RedisServer
from memory.core.lexical import part, plan, weight, words
from memory.core.values import Episode

Key = tuple[int, int]  # when, and what came first of the same moment


def entered(keys: Keys, place: int, episode: Episode) -> list[Command]:
    members, length = _members(place, episode)
    return [("ZADD", keys["words"], *_flat(members)), ("INCRBY", keys["length"], length)] if members else []


def removed(keys: Keys, place: int, episode: Episode) -> list[Command]:
    members, length = _members(place, episode)
    return [("ZREM", keys["words"], *members), ("DECRBY", keys["length"], length)] if members else []


async def scores(server: RedisServer, keys: Keys, query: str, limit: int, times: Instants) -> dict[Key, float]:
    """(when, place) → BM25 score of episodes that share a word with the query."""
    asked = list(dict.fromkeys(words(query)))
    counted = [("ZLEXCOUNT", keys["words"], *bounds(f"{word}:")) for word in asked]
    texts, total, *counts = await server.ask(("ZCARD", keys["times"]), ("GET", keys["length"]), *counted)
    occurring = dict(zip(asked, counts, strict=True))
    planned = plan(occurring, texts=texts, limit=limit)
    answers = await server.ask(*(newest_of(keys["words"], f"{word}:", times, most) for word, most in planned))
    found: defaultdict[Key, float] = defaultdict(float)
    for (word, _), members in zip(planned, answers, strict=True):
        tells = weight(occurring[word], texts)
        for one in members:
            at, place, there, length = map(int, one.split(":")[1:])
            found[at, place] += tells * part(there, length, int(total or 0) / texts)
    return dict(found)


def _members(place: int, episode: Episode) -> tuple[list[str], int]:
    found = words(f"{episode.input} {episode.output}")
    at = instant(episode.occurred_at)
    return [member(word, at, place, times, len(found)) for word, times in Counter(found).items()], len(found)


def _flat(members: list[str]) -> list[str | int]:
    return [part for one in members for part in (0, one)]
