"""The memory in Chroma."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from loom.messages import utcnow
from memory.core.backends.chroma.facts import ChromaFactStore
from memory.core.backends.chroma.place import Chroma
from memory.core.backends.chroma.rows import NOBODY, Row, Rows, Where, checked_name, key, owner_of, where
from memory.core.backends.kept import KeptMemory
from memory.core.backends.sqlite.file import instant
from memory.core.erasure import erasable
from memory.core.history import History, Range
from memory.core.protocol import Embedder, FactStore
from memory.core.recall import warn_unless_isolated
from memory.core.values import Episode, EpisodeMatch, MemoryBlock, MemoryExport, MemoryProfile

DEFAULT_COLLECTION = "loom_episodes"


class ChromaMemory(KeptMemory):
    """Episodes, blocks and, with a fact store, facts in Chroma: in a directory, in this process, or on its server.

    Recall goes by words (BM25) and, with an embedder, also by vectors, which Chroma finds. It reads all of the user's
    episodes for their words; the event loop goes on meanwhile. Texts, blocks and vectors lie in collections of their
    own, all named after `collection_name`: what lies under another name is another memory.

    Chroma has no transactions: a write that is cut off leaves at most a vector without its episode, which is not found.
    A directory is used by one process at a time. What was erased stays in Chroma's file until that is cleaned up, as
    `chroma vacuum` does.
    """

    def __init__(
        self,
        client: Any,
        *,
        embedder: Embedder | None = None,
        collection_name: str = DEFAULT_COLLECTION,
        fact_store: FactStore | None = None,
    ) -> None:
        """`client` is one of `chromadb`, which stays its giver's to close."""
        self._chroma = client if isinstance(client, Chroma) else Chroma(client)
        self._name = checked_name(collection_name)
        super().__init__(embedder=embedder, facts=fact_store)

    @classmethod
    def local(
        cls,
        persist_directory: str,
        *,
        embedder: Embedder | None = None,
        collection_name: str = DEFAULT_COLLECTION,
        with_facts: bool = False,
        facts_collection_name: str | None = None,
    ) -> ChromaMemory:
        """A memory in a directory. Facts lie beside the episodes unless `facts_collection_name` says where."""
        return cls.on(
            Chroma.local(persist_directory),
            embedder=embedder,
            collection_name=collection_name,
            with_facts=with_facts,
            facts_collection_name=facts_collection_name,
        )

    @classmethod
    def ephemeral(
        cls,
        *,
        embedder: Embedder | None = None,
        collection_name: str = DEFAULT_COLLECTION,
        with_facts: bool = False,
        facts_collection_name: str | None = None,
    ) -> ChromaMemory:
        """A memory of its own in this process, which is gone when it is closed."""
        return cls.on(
            Chroma.ephemeral(),
            embedder=embedder,
            collection_name=collection_name,
            with_facts=with_facts,
            facts_collection_name=facts_collection_name,
        )

    @classmethod
    def on(
        cls,
        chroma: Chroma,
        *,
        embedder: Embedder | None,
        collection_name: str,
        with_facts: bool,
        facts_collection_name: str | None = None,
    ) -> ChromaMemory:
        facts = None
        if with_facts:
            name = facts_collection_name or facts_beside(collection_name)
            facts = ChromaFactStore(chroma, embedder=embedder, collection_name=name)
        return cls(chroma, embedder=embedder, collection_name=collection_name, fact_store=facts)

    async def working(self, *, user_id: str | None = None) -> list[MemoryBlock]:
        rows = await self._chroma.read(lambda client: self._blocks(client).find(where(owner=owner_of(user_id))))
        return sorted(map(_block, rows), key=lambda block: block.pinned_order)

    async def remember(self, episode: Episode) -> str:
        """Embed and store an episode: when the embedder fails, it is not stored."""
        vector = await self._embedded(episode)
        values: dict[str, str | int] = {"session": episode.session_id, "at": instant(episode.occurred_at)}
        row = Row(owner_of(episode.user_id), episode.id, episode.model_dump_json(), values, vector)
        await self._chroma.write(lambda client: self._episodes(client).put([row]))
        return episode.id

    async def profile(self, *, user_id: str | None = None) -> MemoryProfile:
        facts, history = await self._facts_of(user_id), await self._history(user_id)
        newest = history.newest(1)
        return MemoryProfile(
            user_id=user_id,
            episode_count=len(history.episodes),
            fact_count=len(facts),
            last_seen=newest[0].occurred_at if newest else None,
            recent_sessions=history.recent_sessions(10),
            sample_facts=facts[:10],
        )

    async def forget(
        self, *, user_id: str | None = None, session_id: str | None = None, before: datetime | None = None
    ) -> int:
        """Facts go first, so that a crash loses no erasure.

        Raises ConfigError, and erases nothing, when the fact store cannot erase facts that it holds.
        """
        facts = await erasable(self.facts, user_id=user_id)
        earlier = None if before is None else {"$lt": instant(before)}
        condition = where(owner=owner_of(user_id), session=session_id, at=earlier)
        count = 0
        if facts is not None:
            rows = await self._chroma.read(lambda client: self._episodes(client).find(condition))
            ids = {row.id for row in rows}
            count += await facts.forget(user_id=user_id, sources=ids) if ids else 0
            count += await facts.forget(user_id=user_id, before=before) if session_id is None else 0
        blocks = where(owner=owner_of(user_id), at=earlier) if session_id is None else None
        return count + await self._chroma.write(lambda client: self._erase(client, condition, blocks))

    async def export(self, *, user_id: str | None = None) -> MemoryExport:
        facts, history = await self._facts_of(user_id), await self._history(user_id)
        return MemoryExport(
            user_id=user_id,
            episodes=history.episodes,
            facts=sorted(facts, key=lambda fact: fact.recorded_at),
            blocks=await self.working(user_id=user_id),
        )

    async def aclose(self) -> None:
        """Let go of what was opened here. The next use opens it again, with nothing in it when it was ephemeral."""
        await self._chroma.aclose()

    async def _newest(self, user_id: str | None, limit: int, time_range: Range | None) -> list[Episode]:
        return (await self._history(user_id)).newest(limit, time_range)

    async def _by_words(
        self, user_id: str | None, query: str, limit: int, time_range: Range | None
    ) -> list[EpisodeMatch]:
        found = (await self._history(user_id)).by_words(query, limit, time_range)
        return [EpisodeMatch(episode=episode, score=score, bm25_score=score) for score, episode in found]

    async def _by_both(
        self,
        user_id: str | None,
        query: str,
        vector: Sequence[float] | None,
        limit: int,
        time_range: Range | None,
        alpha: float,
    ) -> list[EpisodeMatch]:
        from memory.core.backends.fusion import matches  # brings NumPy, which is slow to import

        pool, near = max(4 * limit, 20), {}
        if vector is not None:
            condition = where(owner=owner_of(user_id), at=_during(time_range))
            near = await self._chroma.read(lambda client: self._near(client, vector, condition, pool))
        words = (await self._history(user_id)).by_words(query, pool, time_range) if alpha < 1 else []
        return matches(near, {each.id: (score, each) for score, each in words}, limit, alpha)

    async def _last_of_session(self, user_id: str | None, session_id: str, count: int) -> list[Episode]:
        return (await self._history(user_id, session=session_id)).newest(count)[::-1]

    def _near(
        self, client: Any, vector: Sequence[float], condition: Where, count: int
    ) -> dict[str, tuple[float, Episode]]:
        rows = self._episodes(client)
        near = rows.nearest(vector, condition, count)
        there = rows.at(near)
        return {row.id: (near[row_key], _episode(row)) for row_key, row in there.items()}

    async def _history(self, user_id: str | None, session: str | None = None) -> History:
        condition = where(owner=owner_of(user_id), session=session)

        def read(client: Any) -> History:
            history = History()
            rows = self._episodes(client).find(condition)
            for row in sorted(rows, key=lambda row: (row.values["at"], row.place)):
                history.add(_episode(row))
            return history

        return await self._chroma.read(read)

    def _erase(self, client: Any, condition: Where, blocks: Where | None) -> int:
        gone = self._episodes(client).drop_where(condition)
        if blocks is not None:
            self._blocks(client).drop_where(blocks)
        return len(gone)

    async def _write_block(self, user_id: str | None, name: str, content: str, *, append: bool) -> None:
        await self._chroma.write(lambda client: self._put_block(client, user_id, name, content, append=append))

    def _put_block(self, client: Any, user_id: str | None, name: str, content: str, *, append: bool) -> None:
        owner, rows = owner_of(user_id), self._blocks(client)
        old = rows.at([key(owner, name)]).get(key(owner, name))
        block = MemoryBlock(name=name, content=content) if old is None else _block(old)
        if old is not None:
            text = block.content + content if append else content
            block = block.model_copy(update={"content": text, "updated_at": utcnow()})
        row = Row(owner, name, block.model_dump_json(), {"at": instant(block.updated_at)})
        rows.put([row if old is None else replace(row, place=old.place)])

    async def _check_isolation(self, user_id: str | None) -> None:
        if user_id is None:
            named = where(owner={"$ne": NOBODY})
            warn_unless_isolated(
                user_id, named_users=await self._chroma.read(lambda client: self._episodes(client).has(named))
            )

    def _episodes(self, client: Any) -> Rows:
        return Rows(client, self._name)

    def _blocks(self, client: Any) -> Rows:
        return Rows(client, f"{self._name}-blocks")


def facts_beside(collection_name: str) -> str:
    """Where the facts of a memory lie: `loom_facts` beside `loom_episodes`."""
    return "loom_facts" if collection_name == DEFAULT_COLLECTION else f"{collection_name}-facts"


def _during(time_range: Range | None) -> dict[str, Any] | None:
    return None if time_range is None else {"$gte": instant(time_range[0]), "$lte": instant(time_range[1])}


def _episode(row: Row) -> Episode:
    return Episode.model_validate_json(row.text)


def _block(row: Row) -> MemoryBlock:
    return MemoryBlock.model_validate_json(row.text)
