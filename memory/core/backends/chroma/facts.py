"""Facts in Chroma, by the rules of `memory.core.facts`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from sys import maxsize
from time import time_ns
from typing import Any

from loom.messages import utcnow
from memory.core.backends.chroma.place import Chroma
from memory.core.backends.chroma.rows import NOBODY, Row, Rows, key, owner_of, where
from memory.core.facts import Revision, best, cosine, left_of
from memory.core.lexical import LexicalIndex
from memory.core.protocol import Embedder
from memory.core.recall import warn_unless_isolated
from memory.core.values import Fact, as_utc, canonical_predicate

DEFAULT_COLLECTION = "loom_facts"
_LOOK_UP = 50  # above so many statements it is less work to read all facts of the user

Vector = Sequence[float]
Kept = dict[str, tuple[Row, Fact]]  # by key


class ChromaFactStore:
    """Facts partitioned by collection and user, found by words or, with an embedder, by cosine similarity.

    A search looks at every fact of the user that holds. Chroma has no transactions: facts are written thousands at a
    time, those that are ended before those that end them. Facts may lie where a ChromaMemory does.
    """

    def __init__(
        self, client: Any, *, embedder: Embedder | None = None, collection_name: str = DEFAULT_COLLECTION
    ) -> None:
        """`client` is one of `chromadb`, which stays its giver's to close."""
        self._chroma = client if isinstance(client, Chroma) else Chroma(client)
        self._name = collection_name
        self._embedder = embedder

    @classmethod
    def local(
        cls, persist_directory: str, *, embedder: Embedder | None = None, collection_name: str = DEFAULT_COLLECTION
    ) -> ChromaFactStore:
        """Facts in a directory, which one process at a time may use."""
        return cls(Chroma.local(persist_directory), embedder=embedder, collection_name=collection_name)

    @classmethod
    def ephemeral(
        cls, *, embedder: Embedder | None = None, collection_name: str = DEFAULT_COLLECTION
    ) -> ChromaFactStore:
        """Facts in this process, which are gone when it is closed."""
        return cls(Chroma.ephemeral(), embedder=embedder, collection_name=collection_name)

    @property
    def embedder(self) -> Embedder | None:
        return self._embedder

    async def append(self, fact: Fact) -> str:
        (fact_id,) = await self.append_many([fact])
        return fact_id

    async def append_many(self, facts: Iterable[Fact]) -> list[str]:
        """Add facts, each under its own user. The embedder is called once, before any is stored."""
        facts = list(facts)
        vectors: Sequence[Vector | None] = [None] * len(facts)
        if self._embedder is not None and facts:
            vectors = await self._embedder.embed_batch([fact.text() for fact in facts])
        by_owner: defaultdict[str, list[tuple[Fact, Vector | None]]] = defaultdict(list)
        for fact, vector in zip(facts, vectors, strict=True):
            by_owner[owner_of(fact.user_id)].append((fact, vector))

        def add(client: Any) -> None:
            for owner, theirs in by_owner.items():
                _add(Rows(client, self._name), owner, theirs)

        if facts:
            await self._chroma.write(add)
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
        kept = await self._kept(owner=owner_of(user_id), subject=subject, predicate=wanted, object=object_)
        facts = [fact for _, fact in reversed(kept.values()) if moment is None or fact.holds_at(moment)]
        return sorted(facts, key=lambda fact: fact.recorded_at, reverse=True)[: max(limit, 0)]

    async def recall_text(
        self, query: str, *, limit: int = 5, valid_at: datetime | None = None, user_id: str | None = None
    ) -> list[Fact]:
        if user_id is None:
            named = await self._chroma.read(lambda client: Rows(client, self._name).has(where(owner={"$ne": NOBODY})))
            warn_unless_isolated(user_id, named_users=named)
        moment = utcnow() if valid_at is None else as_utc(valid_at)
        if not query.strip():
            return await self.query(valid_at=moment, limit=limit, user_id=user_id)
        kept = await self._kept(owner=owner_of(user_id))
        holding = {row_key: fact for row_key, (_, fact) in kept.items() if fact.holds_at(moment)}
        if self._embedder is None:
            return best(_by_words(list(holding.values()), query), limit)
        vector = await self._embedder.embed(query)
        return best(await self._by_meaning(owner_of(user_id), holding, vector), limit)

    async def all_facts(self) -> list[Fact]:
        return [fact for _, fact in (await self._kept(owner={"$ne": ""})).values()]  # no owner is called so

    async def forget(
        self, *, user_id: str | None, before: datetime | None = None, sources: Collection[str] | None = None
    ) -> int:
        until = None if before is None else as_utc(before)

        def erase(client: Any) -> int:
            rows, theirs = Rows(client, self._name), where(owner=owner_of(user_id))
            if before is None and sources is None:
                return len(rows.drop_where(theirs))
            stored = _read(rows.find(theirs))
            revision = Revision(fact for _, fact in stored.values())
            for _, fact in stored.values():
                rest = left_of(fact, before=until, sources=sources)
                if rest is None:
                    revision.remove(fact.id)
                elif rest is not fact:
                    revision.replace(rest)
            _write(rows, owner_of(user_id), revision, stored, {})
            return len(revision.gone)

        return await self._chroma.write(erase)

    async def aclose(self) -> None:
        """Let go of what was opened here. The next use opens it again."""
        await self._chroma.aclose()

    async def _kept(self, **values: Any) -> Kept:
        return await self._chroma.read(lambda client: _read(Rows(client, self._name).find(where(**values))))

    async def _by_meaning(self, owner: str, facts: Mapping[str, Fact], vector: Vector) -> list[tuple[float, Fact]]:
        stored = await self._chroma.read(
            lambda client: Rows(client, self._name).vectors(where(owner=owner), len(vector))
        )
        return [(cosine(vector, stored[row_key]), fact) for row_key, fact in facts.items() if row_key in stored]


def _add(rows: Rows, owner: str, facts: Sequence[tuple[Fact, Vector | None]]) -> None:
    """Add facts of one user in this order."""
    statements = dict.fromkeys((fact.subject, fact.predicate) for fact, _ in facts)
    if len(statements) > _LOOK_UP:
        stored = _read(rows.find(where(owner=owner)))
    else:
        stored = _read(rows.at(key(owner, fact.id) for fact, _ in facts).values())
        for subject, predicate in statements:
            stored |= _read(rows.find(where(owner=owner, subject=subject, predicate=predicate)))
    revision = Revision(fact for _, fact in stored.values())
    for fact, _ in facts:
        revision.add(fact)
    _write(rows, owner, revision, stored, {fact.id: vector for fact, vector in facts})


def _write(rows: Rows, owner: str, revision: Revision, stored: Kept, vectors: Mapping[str, Vector | None]) -> None:
    rows.drop(key(owner, fact_id) for fact_id in revision.gone if fact_id not in revision.new)
    rows.rewrite(
        replace(stored[key(owner, fact_id)][0], text=fact.model_dump_json())
        for fact_id, fact in revision.changed.items()
    )
    first = time_ns()
    rows.put(
        Row(
            owner,
            fact_id,
            fact.model_dump_json(),
            {"subject": fact.subject, "predicate": fact.predicate, "object": fact.object},
            vectors[fact_id],
            place=first + number,
        )
        for number, (fact_id, fact) in enumerate(revision.new.items())
    )


def _read(rows: Iterable[Row]) -> Kept:
    return {row.key: (row, Fact.model_validate_json(row.text)) for row in rows}


def _by_words(facts: Sequence[Fact], query: str) -> list[tuple[float, Fact]]:
    index = LexicalIndex()
    for fact in facts:
        index.add(fact.text())
    return [(score, facts[number]) for number, score in index.scores(query, maxsize).items()]
