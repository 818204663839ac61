"""Memory in this process: the default, and what tests and scripts use."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from time import monotonic
from typing import Any

import anyio

from loom.messages import Message
from memory.core.backends import Options
from memory.core.blocks import Blocks
from memory.core.consolidator import Consolidator
from memory.core.erasure import erasable, unlearn
from memory.core.facts import InMemoryFactStore
from memory.core.history import History, Range
from memory.core.protocol import FactStore
from memory.core.recall import default_recall_scored, warn_unless_isolated
from memory.core.values import Episode, EpisodeMatch, Fact, MemoryBlock, MemoryExport, MemoryProfile, as_utc

EVERYTHING = 2**63 - 1


def build(options: Options) -> InMemoryMemory:
    """The memory of the spec `inmemory`."""
    return InMemoryMemory(fact_store=InMemoryFactStore(embedder=options.embedder) if options.with_facts else None)


class InMemoryMemory:
    """Episodes, blocks and, with a fact store, facts, in dictionaries by user.

    Recall goes by words (BM25). What a run costs does not grow with the history of the user or the number of users.
    Blocks are kept for at most `max_users` users and dropped when a user was idle for `user_idle_ttl_seconds`; None
    switches either off. A Consolidator brings a fact store with it when none is given.
    """

    in_process = True  # what it is told is gone with the process, so a run's journal need not be on disk before it

    def __init__(
        self,
        *,
        consolidator: Consolidator | None = None,
        fact_store: FactStore | None = None,
        max_users: int | None = 100_000,
        user_idle_ttl_seconds: float | None = 24 * 3600,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        if fact_store is None and consolidator is not None:
            fact_store = InMemoryFactStore()
        self.facts = fact_store
        self._consolidator = consolidator
        self._histories: dict[str | None, History] = {}
        self._blocks = Blocks(max_users=max_users, idle_seconds=user_idle_ttl_seconds, clock=clock)
        self._unread: dict[tuple[str | None, str], Episode] = {}

    async def working(self, *, user_id: str | None = None) -> list[MemoryBlock]:
        blocks = self._blocks.of(user_id)
        return sorted(blocks.values(), key=lambda block: block.pinned_order) if blocks else []

    async def update_block(self, name: str, content: str, *, user_id: str | None = None) -> None:
        blocks = self._blocks.of(user_id, create=True)
        order = blocks[name].pinned_order if name in blocks else 0
        blocks[name] = MemoryBlock(name=name, content=content, pinned_order=order)

    async def append_block(self, name: str, content: str, *, user_id: str | None = None) -> None:
        block = self._blocks.of(user_id).get(name)
        await self.update_block(name, (block.content if block else "") + content, user_id=user_id)

    async def remember(self, episode: Episode) -> str:
        history = self._histories.get(episode.user_id)
        if history is None:
            history = self._histories[episode.user_id] = History()
        elif episode.id in history:
            history = self._histories[episode.user_id] = history.without({episode.id})
        history.add(episode)
        if self._consolidator is not None:
            self._unread[episode.user_id, episode.id] = episode
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
        self._check_isolation(user_id)
        history = self._histories.get(user_id)
        if history is None:
            return []
        found = [episode for _, episode in history.by_words(query, limit, time_range)]
        return found or history.newest(limit, time_range)

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
        """The episodes that share a word with the query, by BM25. There are no vectors here, so alpha changes nothing.

        An empty query gets the newest, with score 1.
        """
        self._check_isolation(user_id)
        history = self._histories.get(user_id)
        if history is None:
            return []
        if not query.strip():
            return default_recall_scored(history.newest(limit, time_range))
        found = history.by_words(query, limit, time_range)
        return [EpisodeMatch(episode=episode, score=score, bm25_score=score) for score, episode in found]

    async def recall_facts(
        self, query: str, *, limit: int = 5, valid_at: datetime | None = None, user_id: str | None = None
    ) -> list[Fact]:
        if self.facts is None:
            return []
        return await self.facts.recall_text(query, limit=limit, valid_at=valid_at, user_id=user_id)

    async def session_messages(self, session_id: str, *, user_id: str | None = None, limit: int = 20) -> list[Message]:
        history = self._histories.get(user_id)
        return [] if history is None else history.messages(session_id, limit // 2)

    async def profile(self, *, user_id: str | None = None) -> MemoryProfile:
        facts = await self._facts_of(user_id)
        history = self._histories.get(user_id) or History()
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
        """Raises ConfigError, and erases nothing, when the fact store cannot erase facts that it holds."""
        before = None if before is None else as_utc(before)
        facts = await erasable(self.facts, user_id=user_id)
        episode_ids = self._matching(user_id, session_id, before)
        for episode_id in episode_ids:  # first, so that nobody reads facts out of them meanwhile
            self._unread.pop((user_id, episode_id), None)
        count = len(episode_ids)
        if facts is not None and episode_ids:
            count += await facts.forget(user_id=user_id, sources=episode_ids)
        if facts is not None and session_id is None:
            count += await facts.forget(user_id=user_id, before=before)
        if session_id is None:
            self._blocks.forget(user_id, before)
        self._drop(user_id, episode_ids)
        return count

    async def export(self, *, user_id: str | None = None) -> MemoryExport:
        history = self._histories.get(user_id)
        facts = await self._facts_of(user_id)
        return MemoryExport(
            user_id=user_id,
            episodes=list(history.episodes) if history else [],
            facts=sorted(facts, key=lambda fact: fact.recorded_at),
            blocks=await self.working(user_id=user_id),
        )

    async def consolidate(self) -> int:
        """Read the episodes that were not read yet, one at a time: one that failed is read again next time."""
        if self._consolidator is None or self.facts is None:
            return 0
        found = 0
        async with self._reading:
            for key, episode in list(self._unread.items()):
                if self._unread.get(key) is not episode:
                    continue
                facts = await self._consolidator.consolidate([episode], store=self.facts)
                if self._unread.get(key) is episode:
                    del self._unread[key]
                    found += len(facts)
                else:  # forgotten while the model was reading it
                    await unlearn(episode, store=self.facts)
        return found

    def snapshot(self) -> dict[str, Any]:
        """What lies in memory now, of all users: `episodes` and `blocks` by user."""
        return {
            "episodes": {user_id: list(history.episodes) for user_id, history in self._histories.items()},
            "blocks": self._blocks.snapshot(),
        }

    @cached_property
    def _reading(self) -> anyio.Lock:
        return anyio.Lock()

    def _check_isolation(self, user_id: str | None) -> None:
        warn_unless_isolated(user_id, named_users=len(self._histories) > (None in self._histories))

    async def _facts_of(self, user_id: str | None) -> list[Fact]:
        return [] if self.facts is None else await self.facts.query(user_id=user_id, limit=EVERYTHING)

    def _matching(self, user_id: str | None, session_id: str | None, before: datetime | None) -> set[str]:
        history = self._histories.get(user_id)
        return {
            episode.id
            for episode in (history.episodes if history else ())
            if session_id in {None, episode.session_id} and (before is None or episode.occurred_at < before)
        }

    def _drop(self, user_id: str | None, episode_ids: set[str]) -> None:
        history = self._histories.pop(user_id, None)
        left = history.without(episode_ids) if history and episode_ids else history
        if left and left.episodes:
            self._histories[user_id] = left
