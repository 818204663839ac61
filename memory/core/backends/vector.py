"""Memory in this process whose episodes are found by vectors too."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from memory.core.backends.fusion import matches
from memory.core.backends.in_memory import InMemoryMemory
from memory.core.consolidator import Consolidator
from memory.core.embedders import HashEmbedder
from memory.core.history import History, Range
from memory.core.loaders.base import Chunk
from memory.core.protocol import Embedder, FactStore
from memory.core.recall import default_recall_scored
from memory.core.values import Episode, EpisodeMatch, as_utc
from memory.core.vector_stores.in_memory import InMemoryVectorStore


class VectorMemory(InMemoryMemory):
    """An InMemoryMemory that recalls by words (BM25) and by an embedder's vectors, fused by rank.

    Without an embedder the vectors are those of HashEmbedder, which know words alone. Of each user `max_episodes` are
    kept: the oldest are dropped, and no user's episodes make room for another's.
    """

    def __init__(
        self,
        *,
        embedder: Embedder | None = None,
        max_episodes: int | None = None,
        consolidator: Consolidator | None = None,
        fact_store: FactStore | None = None,
    ) -> None:
        if max_episodes is not None and max_episodes < 1:
            raise ValueError(f"max_episodes is at least 1, or None for no limit, not {max_episodes}")
        super().__init__(consolidator=consolidator, fact_store=fact_store)
        self._embedder = embedder or HashEmbedder()
        self._max_episodes = max_episodes
        self._stores: dict[str | None, InMemoryVectorStore] = {}

    @property
    def embedder(self) -> Embedder:
        return self._embedder

    async def remember(self, episode: Episode) -> str:
        """Embed and store an episode: when the embedder fails, it is not stored."""
        store = self._stores.setdefault(episode.user_id, InMemoryVectorStore(self._embedder))
        chunk = Chunk(f"{episode.input}\n{episode.output}", {"at": episode.occurred_at, "episode": episode})
        await store.add([chunk], [episode.id])
        await super().remember(episode)
        await self._drop_oldest(episode.user_id)
        return episode.id

    async def recall(
        self,
        query: str,
        *,
        kind: str = "episodic",
        limit: int = 5,
        time_range: Range | None = None,
        user_id: str | None = None,
    ) -> list[Episode]:
        found = await self.recall_scored(query, limit=limit, time_range=time_range, user_id=user_id)
        return [match.episode for match in found]

    async def recall_scored(
        self,
        query: str,
        *,
        kind: str = "episodic",
        limit: int = 5,
        time_range: Range | None = None,
        user_id: str | None = None,
        alpha: float = 0.5,
    ) -> list[EpisodeMatch]:
        """The score is that of the fusion, at most 1/61; the two it is made of are beside it.

        Of equally good episodes the newest comes first. An empty query gets the newest, with score 1.
        """
        self._check_isolation(user_id)
        history = self._histories.get(user_id)
        if history is None:
            return []
        if not query.strip():
            return default_recall_scored(history.newest(limit, time_range))
        pool = max(4 * limit, 20)
        near = await self._near(query, pool, time_range, user_id) if alpha > 0 else {}
        words = history.by_words(query, pool, time_range) if alpha < 1 else []
        return matches(near, {each.id: (score, each) for score, each in words}, limit, alpha)

    async def forget(
        self, *, user_id: str | None = None, session_id: str | None = None, before: datetime | None = None
    ) -> int:
        """Raises ConfigError, and erases nothing, when the fact store cannot erase facts that it holds."""
        episode_ids = self._matching(user_id, session_id, None if before is None else as_utc(before))
        count = await super().forget(user_id=user_id, session_id=session_id, before=before)
        await self._forget_vectors(user_id, episode_ids)
        return count

    async def _near(
        self, query: str, count: int, time_range: Range | None, user_id: str | None
    ) -> dict[str, tuple[float, Episode]]:
        if user_id not in self._stores:
            return {}
        during: dict[str, Any] | None = None
        if time_range is not None:
            during = {"at": {"$gte": as_utc(time_range[0]), "$lte": as_utc(time_range[1])}}
        found = await self._stores[user_id].search(query, k=count, filter=during)
        there = self._histories.get(user_id, History())  # what was forgotten meanwhile is not
        episodes = [(result.score, result.chunk.metadata["episode"]) for result in found]
        return {episode.id: (score, episode) for score, episode in episodes if episode.id in there}

    async def _drop_oldest(self, user_id: str | None) -> None:
        history = self._histories.get(user_id, History())
        over = 0 if self._max_episodes is None else len(history.episodes) - self._max_episodes
        if over <= 0:
            return
        episode_ids = {episode.id for episode in history.episodes[:over]}
        for episode_id in episode_ids:
            self._unread.pop((user_id, episode_id), None)
        self._drop(user_id, episode_ids)
        await self._forget_vectors(user_id, episode_ids)

    async def _forget_vectors(self, user_id: str | None, episode_ids: set[str]) -> None:
        if user_id in self._stores:
            await self._stores[user_id].delete(list(episode_ids))
            if not await self._stores[user_id].count():
                del self._stores[user_id]
