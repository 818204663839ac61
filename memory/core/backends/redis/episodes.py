"""The episodes of one user on the server: kept, found by time, word and vector, and erased."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from urllib.parse import unquote

from memory.core.backends.redis import words
from memory.core.backends.redis.index import VectorIndex
from memory.core.backends.redis.keys import Instants, Keys, instant, member, newest_of, part, span
from memory.core.backends.redis.server import Command, RedisServer
from memory.core.backends.redis.words import Key
from memory.core.values import Episode, EpisodeMatch

# Beside these, each vector has a key.
KINDS = ("episodes", "episode-ids", "times", "sessions", "words", "length")
_PAGE = 1000


def kept(keys: Keys, place: int, episode: Episode) -> list[Command]:
    at = instant(episode.occurred_at)
    return [
        ("HSET", keys["episodes"], place, episode.model_dump_json()),
        ("HSET", keys["episode-ids"], episode.id, place),
        ("ZADD", keys["times"], 0, member(at, place, part(episode.session_id))),
        ("ZADD", keys["sessions"], 0, member(part(episode.session_id), at, place)),
        *words.entered(keys, place, episode),
    ]


def erased(keys: Keys, episodes: Mapping[int, Episode], index: VectorIndex) -> list[Command]:
    commands: list[Command] = []
    for place, episode in episodes.items():
        at = instant(episode.occurred_at)
        commands += [
            ("HDEL", keys["episodes"], place),
            ("HDEL", keys["episode-ids"], episode.id),
            ("ZREM", keys["times"], member(at, place, part(episode.session_id))),
            ("ZREM", keys["sessions"], member(part(episode.session_id), at, place)),
            ("DEL", index.key(keys, place)),
            *words.removed(keys, place, episode),
        ]
    return commands


def all_erased(keys: Keys, episodes: Collection[int], index: VectorIndex) -> list[Command]:
    return [("DEL", *(keys[kind] for kind in KINDS), *(index.key(keys, place) for place in episodes))]


async def of(server: RedisServer, keys: Keys) -> dict[int, Episode]:
    """All of the user's episodes by place, oldest first."""
    (order,) = await server.ask(("ZRANGE", keys["times"], 0, -1))
    return await at_places(server, keys, (_key(one)[1] for one in order))


async def at_places(server: RedisServer, keys: Keys, places: Iterable[int]) -> dict[int, Episode]:
    """The episodes that are still there, in the order asked for."""
    places = list(places)
    if not places:
        return {}
    (bodies,) = await server.ask(("HMGET", keys["episodes"], *places))
    return {place: Episode.model_validate_json(body) for place, body in zip(places, bodies, strict=True) if body}


async def newest(server: RedisServer, keys: Keys, limit: int, times: Instants) -> list[Episode]:
    (members,) = await server.ask(newest_of(keys["times"], "", times, limit))
    return list((await at_places(server, keys, (_key(one)[1] for one in members))).values())


async def last_of_session(server: RedisServer, keys: Keys, session_id: str, count: int) -> list[Episode]:
    (members,) = await server.ask(newest_of(keys["sessions"], f"{part(session_id)}:", span(None), count))
    places = [int(one.rpartition(":")[2]) for one in reversed(members)]
    return list((await at_places(server, keys, places)).values())


async def recent_sessions(server: RedisServer, keys: Keys, count: int) -> list[str]:
    """The sessions that were used last, the last one first."""
    found: dict[str, None] = {}  # in the order of their last use
    for start in itertools.count(0, _PAGE):
        (members,) = await server.ask(("ZREVRANGE", keys["times"], start, start + _PAGE - 1))
        found |= dict.fromkeys(unquote(one.rpartition(":")[2]) for one in members)
        if len(members) < _PAGE or len(found) >= count:
            break
    return list(found)[:count]


async def by_words(server: RedisServer, keys: Keys, query: str, limit: int, times: Instants) -> dict[Key, float]:
    """The episodes that share words with the query, best first, equally good ones newest first."""
    return best(await words.scores(server, keys, query, limit, times), limit)


async def by_vector(
    server: RedisServer, keys: Keys, index: VectorIndex, vector: Sequence[float], limit: int, times: Instants
) -> dict[Key, float]:
    """The nearest episodes by cosine, nearest first, of equally near ones the newest."""
    found = await index.nearest(keys, vector, limit, times)
    if found is None:
        (order,) = await server.ask(("ZRANGE", keys["times"], 0, -1))
        found = await index.nearest_of(
            keys, [key for key in map(_key, order) if times[0] <= key[0] <= times[1]], vector
        )
    return best(found, limit)


def best(scores: Mapping[Key, float], limit: int) -> dict[Key, float]:
    order = sorted(scores, key=lambda key: (scores[key], key), reverse=True)
    return {key: scores[key] for key in order[: max(limit, 0)]}


async def matches(
    server: RedisServer,
    keys: Keys,
    scores: Mapping[Key, float],
    *,
    by_vector: Mapping[Key, float],
    by_words: Mapping[Key, float],
) -> list[EpisodeMatch]:
    there = await at_places(server, keys, (place for _, place in scores))
    return [
        EpisodeMatch(
            episode=there[key[1]],
            score=score,
            vector_score=by_vector.get(key),
            bm25_score=by_words.get(key),
        )
        for key, score in scores.items()
        if key[1] in there
    ]


def ids(episodes: Mapping[int, Episode]) -> Collection[str]:
    return {episode.id for episode in episodes.values()}


def _key(member: str) -> Key:
    at, place, _ = member.split(":", 2)
    return int(at), int(place)
