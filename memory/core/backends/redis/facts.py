"""Facts on the server, by the rules of `memory.core.facts`."""

from __future__ import annotations

import itertools
from array import array
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from sys import maxsize
from typing import Any

from loom.messages import utcnow
from memory.core.backends.redis.keys import Keys, bounds, checked_prefix, instant, member, part, shared
from memory.core.backends.redis.server import DEFAULT_URL, Command, RedisServer
from memory.core.facts import Revision, best, cosine, left_of
from memory.core.lexical import LexicalIndex
from memory.core.protocol import Embedder
from memory.core.recall import warn_unless_isolated
from memory.core.values import Fact, as_utc, canonical_predicate

DEFAULT_PREFIX = "loom:fact:"
KINDS = ("facts", "fact-ids", "recorded", "about", "vectors")
_USERS = "fact-users"
_PAGE = 1000

Vector = Sequence[float]


class RedisFactStore:
    """Facts partitioned by `key_prefix` and user, found by words or, with an embedder, by cosine similarity.

    A search looks at every fact of the user that holds. Facts may lie on the server of a RedisMemory.
    """

    def __init__(self, client: Any, *, embedder: Embedder | None = None, key_prefix: str = DEFAULT_PREFIX) -> None:
        self._server = client if isinstance(client, RedisServer) else RedisServer(client)
        self._prefix = checked_prefix(key_prefix)
        self._embedder = embedder

    @classmethod
    async def connect(
        cls, url: str = DEFAULT_URL, *, embedder: Embedder | None = None, key_prefix: str = DEFAULT_PREFIX
    ) -> RedisFactStore:
        """The facts on the server at a URL. Raises MemoryStoreError when it does not answer."""
        server = await RedisServer.reached(url)
        return cls(server, embedder=embedder, key_prefix=key_prefix)

    @property
    def embedder(self) -> Embedder | None:
        return self._embedder

    async def append(self, fact: Fact) -> str:
        (fact_id,) = await self.append_many([fact])
        return fact_id

    async def append_many(self, facts: Iterable[Fact]) -> list[str]:
        """Add facts, each under its own user, all of them or none. The embedder is called once, before."""
        facts = list(facts)
        if not facts:
            return []
        vectors: Sequence[Vector | None] = [None] * len(facts)
        if self._embedder is not None:
            vectors = await self._embedder.embed_batch([fact.text() for fact in facts])
        by_user: defaultdict[str | None, list[tuple[Fact, Vector | None]]] = defaultdict(list)
        for fact, vector in zip(facts, vectors, strict=True):
            by_user[fact.user_id].append((fact, vector))

        async def plan() -> tuple[None, list[Command]]:
            (last,) = await self._server.ask(("INCRBY", shared(self._prefix, "places"), len(facts)))
            places = itertools.count(last - len(facts) + 1)
            commands: list[Command] = []
            for user_id, theirs in by_user.items():
                commands += await self._added(self._keys(user_id), theirs, places)
                if user_id is not None:
                    commands.append(("SADD", shared(self._prefix, _USERS), user_id))
            return None, commands

        await self._server.change(*(self._keys(user_id)["facts"] for user_id in by_user), plan=plan)
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

        def fits(fact: Fact) -> bool:
            return (
                (subject is None or fact.subject == subject)
                and (wanted is None or fact.predicate == wanted)
                and (object_ is None or fact.object == object_)
                and (moment is None or fact.holds_at(moment))
            )

        if subject is not None:
            about = await self._about(self._keys(user_id), subject, wanted)
            found = sorted(filter(fits, about.values()), key=lambda fact: fact.recorded_at, reverse=True)
            return found[: max(limit, 0)]
        return [fact async for fact in self._first(self._keys(user_id), fits, limit)]

    async def recall_text(
        self, query: str, *, limit: int = 5, valid_at: datetime | None = None, user_id: str | None = None
    ) -> list[Fact]:
        named = user_id is None and (await self._server.ask(("SCARD", shared(self._prefix, _USERS))))[0] > 0
        warn_unless_isolated(user_id, named_users=named)
        moment = utcnow() if valid_at is None else as_utc(valid_at)
        if not query.strip():
            return await self.query(valid_at=moment, limit=limit, user_id=user_id)
        keys = self._keys(user_id)
        holding = {place: fact for place, fact in (await self._all(keys)).items() if fact.holds_at(moment)}
        if self._embedder is None:
            return best(_by_words(list(holding.values()), query), limit)
        vector = await self._embedder.embed(query)
        return best(await self._by_meaning(keys, holding, vector), limit)

    async def all_facts(self) -> list[Fact]:
        (users,) = await self._server.ask(("SMEMBERS", shared(self._prefix, _USERS)))
        found: dict[int, Fact] = {}
        for user_id in (None, *users):
            found |= await self._all(self._keys(user_id))
        return [found[place] for place in sorted(found)]

    async def forget(
        self, *, user_id: str | None, before: datetime | None = None, sources: Collection[str] | None = None
    ) -> int:
        keys, until = self._keys(user_id), None if before is None else as_utc(before)
        nobody_left: list[Command] = [("DEL", *(keys[kind] for kind in KINDS))]
        if user_id is not None:
            nobody_left.append(("SREM", shared(self._prefix, _USERS), user_id))

        async def plan() -> tuple[int, list[Command]]:
            if before is None and sources is None:
                (count,) = await self._server.ask(("HLEN", keys["facts"]))
                return count, nobody_left
            stored = await self._all(keys)
            revision = Revision(stored.values())
            for fact in stored.values():
                rest = left_of(fact, before=until, sources=sources)
                if rest is None:
                    revision.remove(fact.id)
                elif rest is not fact:
                    revision.replace(rest)
            commands = _written(keys, revision, stored, {}) if revision.facts else nobody_left
            return len(revision.gone), commands

        return await self._server.change(keys["facts"], plan=plan)

    async def aclose(self) -> None:
        """Close the connections unless they are those of a client that was given. The next use opens others."""
        await self._server.aclose()

    async def _added(
        self, keys: Keys, facts: Sequence[tuple[Fact, Vector | None]], places: Iterator[int]
    ) -> list[Command]:
        """What is written when facts of a user are added in this order."""
        statements = dict.fromkeys((fact.subject, fact.predicate) for fact, _ in facts)
        replaced, *about = await self._server.ask(
            ("HMGET", keys["fact-ids"], *(fact.id for fact, _ in facts)),
            *(("ZRANGEBYLEX", keys["about"], *bounds(_statement(*statement))) for statement in statements),
        )
        known = {int(place) for place in replaced if place}
        known |= {int(one.rpartition(":")[2]) for members in about for one in members}
        stored = await self._at(keys, known)
        revision = Revision(stored.values())
        for fact, _ in facts:
            revision.add(fact)
        return _written(keys, revision, stored, {fact.id: (next(places), vector) for fact, vector in facts})

    async def _about(self, keys: Keys, subject: str, predicate: str | None) -> dict[int, Fact]:
        """The facts about a subject, the last one that came first."""
        prefix = f"{part(subject)}:" if predicate is None else _statement(subject, predicate)
        ends = (f"[{prefix}", f"({prefix[:-1]};")  # a semicolon comes right after the colon
        (members,) = await self._server.ask(("ZRANGEBYLEX", keys["about"], *ends))
        return await self._at(keys, sorted((int(one.rpartition(":")[2]) for one in members), reverse=True))

    async def _first(self, keys: Keys, fits: Callable[[Fact], bool], limit: int) -> AsyncIterator[Fact]:
        """The last recorded facts that fit."""
        left = limit
        below = "+"
        while left > 0:
            (members,) = await self._server.ask(("ZREVRANGEBYLEX", keys["recorded"], below, "-", "LIMIT", 0, _PAGE))
            facts = await self._at(keys, [int(one.rpartition(":")[2]) for one in members])
            for fact in itertools.islice(filter(fits, facts.values()), left):
                left -= 1
                yield fact
            if len(members) < _PAGE:
                return
            below = f"({members[-1]}"

    async def _all(self, keys: Keys) -> dict[int, Fact]:
        """All of the user's facts by place, in the order in which they came."""
        (places,) = await self._server.ask(("HKEYS", keys["facts"]))
        return await self._at(keys, sorted(map(int, places)))

    async def _at(self, keys: Keys, places: Iterable[int]) -> dict[int, Fact]:
        places = list(places)
        if not places:
            return {}
        (bodies,) = await self._server.ask(("HMGET", keys["facts"], *places))
        return {place: Fact.model_validate_json(body) for place, body in zip(places, bodies, strict=True) if body}

    async def _by_meaning(self, keys: Keys, facts: Mapping[int, Fact], vector: Vector) -> list[tuple[float, Fact]]:
        if not facts:
            return []
        (stored,) = await self._server.bytes_of(("HMGET", keys["vectors"], *facts))
        size = 4 * len(vector)  # vectors of another size are those of another embedder
        return [
            (cosine(vector, array("f", kept)), fact)
            for fact, kept in zip(facts.values(), stored, strict=True)
            if kept and len(kept) == size
        ]

    def _keys(self, user_id: str | None) -> Keys:
        return Keys(self._prefix, user_id)


def _written(
    keys: Keys, revision: Revision, stored: Mapping[int, Fact], added: Mapping[str, tuple[int, Vector | None]]
) -> list[Command]:
    """The commands for what came of facts: `stored` by place; of those `added` their place and vector, by id."""
    places = {fact.id: place for place, fact in stored.items()}
    gone = {places[fact_id]: fact for fact_id, fact in revision.gone.items()}
    new = {added[fact_id][0]: fact for fact_id, fact in revision.new.items()}
    bodies = {places[fact_id]: fact for fact_id, fact in revision.changed.items()} | new
    vectors = {place: array("f", vector).tobytes() for place, vector in added.values() if vector and place in new}
    commands: list[Command] = [
        ("HDEL", keys["facts"], *gone),
        ("HDEL", keys["vectors"], *gone),
        ("HDEL", keys["fact-ids"], *revision.gone),
        ("ZREM", keys["recorded"], *(_recorded(*one) for one in gone.items())),
        ("ZREM", keys["about"], *(_about(*one) for one in gone.items())),
        ("HSET", keys["facts"], *_flat((place, fact.model_dump_json()) for place, fact in bodies.items())),
        ("HSET", keys["vectors"], *_flat(vectors.items())),
        ("HSET", keys["fact-ids"], *_flat((fact.id, place) for place, fact in new.items())),
        ("ZADD", keys["recorded"], *_flat((0, _recorded(*one)) for one in new.items())),
        ("ZADD", keys["about"], *_flat((0, _about(*one)) for one in new.items())),
    ]
    return [command for command in commands if len(command) > 2]


def _statement(subject: str, predicate: str) -> str:
    return f"{part(subject)}:{part(predicate)}:"


def _about(place: int, fact: Fact) -> str:
    return _statement(fact.subject, fact.predicate) + member(instant(fact.valid_from), place)


def _recorded(place: int, fact: Fact) -> str:
    return member(instant(fact.recorded_at), place)


def _flat(pairs: Iterable[tuple[Any, Any]]) -> list[Any]:
    return [each for pair in pairs for each in pair]


def _by_words(facts: Sequence[Fact], query: str) -> list[tuple[float, Fact]]:
    index = LexicalIndex()
    for fact in facts:
        index.add(fact.text())
    return [(score, facts[number]) for number, score in index.scores(query, maxsize).items()]
