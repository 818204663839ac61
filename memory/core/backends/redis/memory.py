"""The memory over the server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from loom.messages import utcnow
from memory.core.backends.kept import KeptMemory
from memory.core.backends.redis import episodes
from memory.core.backends.redis.facts import RedisFactStore
from memory.core.backends.redis.index import VectorIndex
from memory.core.backends.redis.keys import Keys, checked_prefix, instant, shared, span
from memory.core.backends.redis.server import DEFAULT_URL, Command, RedisServer
from memory.core.erasure import erasable
from memory.core.history import Range
from memory.core.protocol import Embedder, FactStore
from memory.core.recall import warn_unless_isolated
from memory.core.values import Episode, EpisodeMatch, MemoryBlock, MemoryExport, MemoryProfile

DEFAULT_PREFIX = "loom:episode:"
DEFAULT_INDEX = "loom_idx"
_USERS = "episode-users"
_PLACE_DIGITS = 16


class RedisMemory(KeptMemory):
    """Episodes, blocks and, with a fact store, facts on a Redis or Valkey server, which many programs may share.

    What lies under another `key_prefix` is another memory. Each user has keys of their own under it: nothing that is
    done for one reads, counts or scans what belongs to others. Recall goes by words (BM25) and, with an embedder, also
    by vectors: where the server has a search module and `use_vector_index` is set, by an HNSW index that looks at the
    user's alone; else by comparing with every one of the user's vectors. Valkey and Redis before 8 come without one.

    Every write is one transaction. What was erased is gone from the server's memory at once, and from its files when
    it writes them anew (`BGREWRITEAOF`, `BGSAVE`). `client` is one of `redis.asyncio`, whose loop it is used in.
    """

    def __init__(
        self,
        client: Any,
        *,
        embedder: Embedder | None = None,
        key_prefix: str = DEFAULT_PREFIX,
        index_name: str = DEFAULT_INDEX,
        use_vector_index: bool = True,
        fact_store: FactStore | None = None,
    ) -> None:
        super().__init__(embedder=embedder, facts=fact_store)
        self._server = client if isinstance(client, RedisServer) else RedisServer(client)
        self._prefix = checked_prefix(key_prefix)
        self._index = VectorIndex(
            self._server, prefix=key_prefix, name=index_name, use_index=use_vector_index and embedder is not None
        )

    @classmethod
    async def connect(
        cls,
        url: str = DEFAULT_URL,
        *,
        embedder: Embedder | None = None,
        key_prefix: str = DEFAULT_PREFIX,
        index_name: str = DEFAULT_INDEX,
        use_vector_index: bool = True,
        with_facts: bool = False,
        fact_key_prefix: str | None = None,
    ) -> RedisMemory:
        """The memory on the server at a URL. Raises MemoryStoreError when it does not answer.

        Facts lie beside the episodes unless `fact_key_prefix` says where: under `loom:fact:` by default.
        """
        server = await RedisServer.reached(url)
        prefix = fact_prefix(key_prefix) if fact_key_prefix is None else fact_key_prefix
        facts = RedisFactStore(server, embedder=embedder, key_prefix=prefix) if with_facts else None
        return cls(
            server,
            embedder=embedder,
            key_prefix=key_prefix,
            index_name=index_name,
            use_vector_index=use_vector_index,
            fact_store=facts,
        )

    async def ensure_index(self) -> None:
        """Make the vector index where the server can have one and there is an embedder. Recall does so by itself."""
        if self._embedder is not None:
            await self._index.ensure(self._embedder.dimensions)

    async def working(self, *, user_id: str | None = None) -> list[MemoryBlock]:
        (stored,) = await self._server.ask(("HVALS", self._keys(user_id)["blocks"]))
        by_place = sorted(stored, key=lambda value: int(value[:_PLACE_DIGITS]))
        return sorted(map(_block, by_place), key=lambda block: block.pinned_order)

    async def remember(self, episode: Episode) -> str:
        """Embed and store an episode: when the embedder fails, it is not stored."""
        vector = await self._embedded(episode)
        if vector is not None:
            await self._index.ensure(len(vector))
        keys = self._keys(episode.user_id)

        async def plan() -> tuple[None, list[Command]]:
            place, old = await self._server.ask(
                ("INCR", shared(self._prefix, "places")), ("HGET", keys["episode-ids"], episode.id)
            )
            replaced = {} if old is None else await episodes.at_places(self._server, keys, [int(old)])
            return None, [
                *episodes.erased(keys, replaced, self._index),
                *episodes.kept(keys, place, episode),
                *([] if vector is None else [self._index.kept(keys, place, episode, vector)]),
                *self._registered(episode.user_id),
            ]

        await self._server.change(keys["episode-ids"], plan=plan)
        return episode.id

    async def profile(self, *, user_id: str | None = None) -> MemoryProfile:
        facts, keys = await self._facts_of(user_id), self._keys(user_id)
        (count,) = await self._server.ask(("HLEN", keys["episodes"]))
        newest = await episodes.newest(self._server, keys, 1, span(None))
        return MemoryProfile(
            user_id=user_id,
            episode_count=count,
            fact_count=len(facts),
            last_seen=newest[0].occurred_at if newest else None,
            recent_sessions=await episodes.recent_sessions(self._server, keys, 10),
            sample_facts=facts[:10],
        )

    async def forget(
        self, *, user_id: str | None = None, session_id: str | None = None, before: datetime | None = None
    ) -> int:
        """Facts go first, so that a crash loses no erasure.

        Raises ConfigError, and erases nothing, when the fact store cannot erase facts that it holds.
        """
        facts = await erasable(self.facts, user_id=user_id)
        count = 0
        if facts is not None:
            ids = episodes.ids(await self._matching(user_id, session_id, before))
            count += await facts.forget(user_id=user_id, sources=ids) if ids else 0
            count += await facts.forget(user_id=user_id, before=before) if session_id is None else 0
        keys = self._keys(user_id)

        async def plan() -> tuple[int, list[Command]]:
            gone = await self._matching(user_id, session_id, before)
            blocks = await self._blocks_before(keys, before) if session_id is None else []
            total, kept_blocks = await self._server.ask(("HLEN", keys["episodes"]), ("HLEN", keys["blocks"]))
            all_of_them = len(gone) == total
            erase = episodes.all_erased if all_of_them else episodes.erased
            commands = erase(keys, gone, self._index)
            if blocks:
                commands.append(("HDEL", keys["blocks"], *blocks))
            if user_id is not None and all_of_them and len(blocks) == kept_blocks:
                commands.append(("SREM", shared(self._prefix, _USERS), user_id))
            return len(gone), commands

        return count + await self._server.change(keys["episode-ids"], keys["blocks"], plan=plan)

    async def export(self, *, user_id: str | None = None) -> MemoryExport:
        facts = await self._facts_of(user_id)
        return MemoryExport(
            user_id=user_id,
            episodes=list((await episodes.of(self._server, self._keys(user_id))).values()),
            facts=sorted(facts, key=lambda fact: fact.recorded_at),
            blocks=await self.working(user_id=user_id),
        )

    async def aclose(self) -> None:
        """Close the connections unless they are those of a client that was given. The next use opens others."""
        await self._server.aclose()

    async def _write_block(self, user_id: str | None, name: str, content: str, *, append: bool) -> None:
        keys = self._keys(user_id)

        async def plan() -> tuple[None, list[Command]]:
            place, stored = await self._server.ask(
                ("INCR", shared(self._prefix, "places")), ("HGET", keys["blocks"], name)
            )
            block = MemoryBlock(name=name, content=content)
            if stored is not None:
                old, place = _block(stored), int(stored[:_PLACE_DIGITS])
                text = old.content + content if append else content
                block = old.model_copy(update={"content": text, "updated_at": utcnow()})
            value = f"{place:0{_PLACE_DIGITS}d}{block.model_dump_json()}"
            return None, [("HSET", keys["blocks"], name, value), *self._registered(user_id)]

        await self._server.change(keys["blocks"], plan=plan)

    async def _blocks_before(self, keys: Keys, before: datetime | None) -> list[str]:
        (stored,) = await self._server.ask(("HVALS", keys["blocks"]))
        blocks = map(_block, stored)
        return [block.name for block in blocks if before is None or instant(block.updated_at) < instant(before)]

    async def _newest(self, user_id: str | None, limit: int, time_range: Range | None) -> list[Episode]:
        return await episodes.newest(self._server, self._keys(user_id), limit, span(time_range))

    async def _by_words(
        self, user_id: str | None, query: str, limit: int, time_range: Range | None
    ) -> list[EpisodeMatch]:
        keys = self._keys(user_id)
        found = await episodes.by_words(self._server, keys, query, limit, span(time_range))
        return await episodes.matches(self._server, keys, found, by_vector={}, by_words=found)

    async def _by_both(
        self,
        user_id: str | None,
        query: str,
        vector: Sequence[float] | None,
        limit: int,
        time_range: Range | None,
        alpha: float,
    ) -> list[EpisodeMatch]:
        from memory.core.vector_stores.ranking import fused  # brings NumPy, which is slow to import

        keys, times, pool = self._keys(user_id), span(time_range), max(4 * limit, 20)
        words = await episodes.by_words(self._server, keys, query, pool, times) if alpha < 1 else {}
        near = {}
        if vector is not None:
            near = await episodes.by_vector(self._server, keys, self._index, vector, pool, times)
        scores = episodes.best(fused([(alpha, list(near)), (1 - alpha, list(words))]), limit)
        return await episodes.matches(self._server, keys, scores, by_vector=near, by_words=words)

    async def _last_of_session(self, user_id: str | None, session_id: str, count: int) -> list[Episode]:
        return await episodes.last_of_session(self._server, self._keys(user_id), session_id, count)

    async def _matching(
        self, user_id: str | None, session_id: str | None, before: datetime | None
    ) -> dict[int, Episode]:
        return {
            place: episode
            for place, episode in (await episodes.of(self._server, self._keys(user_id))).items()
            if session_id in {None, episode.session_id}
            and (before is None or instant(episode.occurred_at) < instant(before))
        }

    async def _check_isolation(self, user_id: str | None) -> None:
        named = user_id is None and (await self._server.ask(("SCARD", shared(self._prefix, _USERS))))[0] > 0
        warn_unless_isolated(user_id, named_users=named)

    def _registered(self, user_id: str | None) -> list[Command]:
        return [] if user_id is None else [("SADD", shared(self._prefix, _USERS), user_id)]

    def _keys(self, user_id: str | None) -> Keys:
        return Keys(self._prefix, user_id)


def fact_prefix(key_prefix: str) -> str:
    """Where the facts of a memory lie: `loom:fact:` beside `loom:episode:`."""
    return f"{key_prefix.removesuffix('episode:')}fact:"


def _block(stored: str) -> MemoryBlock:
    return MemoryBlock.model_validate_json(stored[_PLACE_DIGITS:])
