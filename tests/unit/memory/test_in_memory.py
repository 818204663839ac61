import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from loom.errors import ConfigError
from memory.core.backends.in_memory import InMemoryMemory
from memory.core.consolidator import Consolidator
from memory.core.facts import InMemoryFactStore
from memory.core.history import History
from memory.core.values import Episode, Fact


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_blocks_of_the_user_idle_for_longest_make_room(caplog: pytest.LogCaptureFixture) -> None:
    memory = InMemoryMemory(max_users=2)
    await memory.update_block("a", "1", user_id="ann")
    await memory.update_block("a", "2", user_id="ben")
    await memory.working(user_id="ann")

    with caplog.at_level(logging.WARNING):
        await memory.update_block("a", "3", user_id="cem")

    assert [bool(await memory.working(user_id=user)) for user in ("ann", "ben", "cem")] == [True, False, True]
    assert "dropped 1 blocks" in caplog.text


async def test_blocks_of_an_idle_user_are_dropped_and_those_of_an_active_one_are_not() -> None:
    clock = Clock()
    memory = InMemoryMemory(user_idle_ttl_seconds=10, clock=clock)
    await memory.update_block("a", "1", user_id="ann")
    await memory.update_block("a", "2", user_id="ben")
    clock.now = 8
    await memory.working(user_id="ben")
    clock.now = 15

    assert await memory.working(user_id="ann") == []
    assert len(await memory.working(user_id="ben")) == 1


async def test_blocks_can_be_kept_without_any_limit() -> None:
    clock = Clock()
    memory = InMemoryMemory(max_users=None, user_idle_ttl_seconds=None, clock=clock)
    for number in range(50):
        await memory.update_block("a", "1", user_id=str(number))
    clock.now = 1e9

    assert len(await memory.working(user_id="0")) == 1


async def test_dropping_blocks_never_drops_episodes_or_facts() -> None:
    memory = InMemoryMemory(max_users=1, fact_store=InMemoryFactStore())
    for user in ("ann", "ben"):
        await memory.update_block("a", "1", user_id=user)
        await memory.remember(Episode(session_id="s", user_id=user, input="hello", output="hi"))

    assert len(await memory.recall("hello", user_id="ann")) == 1


def test_room_for_no_user_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_users is 0"):
        InMemoryMemory(max_users=0)


@pytest.mark.parametrize("turns", [100, 5_000])
async def test_a_run_reads_no_more_of_a_long_history_than_of_a_short_one(turns: int) -> None:
    history = History()
    for turn in range(turns):
        history.add(Episode(session_id="s", user_id="ann", input=f"tea {turn}", output="ok"))
    history.by_words("tea", 1, None)
    touched = Touched()
    history.episodes = touched(history.episodes)

    assert len(history.by_words("more tea", 3, None)) == 3
    assert len(history.newest(3)) == 3
    assert len(history.messages("s", 10)) == 20
    assert touched.count <= 64


def test_an_episode_of_long_ago_takes_its_place_among_those_that_were_searched_before() -> None:
    history = History()
    for day in (2, 4, 3):
        history.add(episode(day, f"tea {day}"))
        history.by_words("tea", 1, None)

    history.add(episode(1, "coffee"))

    assert [found.input for _, found in history.by_words("tea", 2, None)] == ["tea 4", "tea 3"]
    assert [found.input for _, found in history.by_words("coffee", 2, None)] == ["coffee"]
    assert [found.input for _, found in history.by_words("tea", 5, (day_of(2), day_of(3)))] == ["tea 3", "tea 2"]


def day_of(day: int) -> datetime:
    return datetime(2026, 1, day, tzinfo=UTC)


def episode(day: int, text: str) -> Episode:
    return Episode(session_id="s", user_id="ann", occurred_at=day_of(day), input=text, output="ok")


class Touched:
    """Counts how many items of lists are read."""

    count = 0

    def __call__(self, items: list[Any]) -> Any:
        counter = self

        class Counted(list):  # type: ignore[type-arg]
            def __getitem__(self, key: Any) -> Any:
                found = super().__getitem__(key)
                counter.count += len(found) if isinstance(key, slice) else 1
                return found

            def __iter__(self) -> Any:
                counter.count += len(self)
                return super().__iter__()

        return Counted(items)


class Model:
    """Answers every request with the same text."""

    name = "fixed"

    def __init__(self, answer: str = '[{"subject": "ann", "predicate": "likes", "object": "tea"}]') -> None:
        self.answer, self.asked = answer, 0

    async def stream(self, messages: Any) -> Any:
        from loom.messages import ModelChunk

        self.asked += 1
        yield ModelChunk(kind="text", text=self.answer)
        yield ModelChunk(kind="finish")


async def test_consolidation_reads_each_episode_once() -> None:
    model = Model()
    memory = InMemoryMemory(consolidator=Consolidator(model=model))
    await memory.remember(Episode(id="ep_1", session_id="s", user_id="ann", input="I like tea", output="ok"))

    assert await memory.consolidate() == 1
    assert await memory.consolidate() == 0

    (fact,) = await memory.recall_facts("tea", user_id="ann")
    assert (fact.user_id, fact.sources, model.asked) == ("ann", ["ep_1"], 1)


async def test_an_episode_whose_reading_failed_is_read_again() -> None:
    class Flaky(Model):
        async def stream(self, messages: Any) -> Any:
            if self.asked == 0:
                self.asked += 1
                raise ConnectionError
            async for chunk in super().stream(messages):
                yield chunk

    memory = InMemoryMemory(consolidator=Consolidator(model=Flaky()))
    await memory.remember(Episode(session_id="s", user_id="ann", input="I like tea", output="ok"))

    with pytest.raises(ConnectionError):
        await memory.consolidate()
    assert await memory.consolidate() == 1


async def test_nothing_is_learned_from_an_episode_that_is_forgotten_while_it_is_read() -> None:
    class Forgetting(Model):
        memory: InMemoryMemory

        async def stream(self, messages: Any) -> Any:
            await self.memory.forget(user_id="ann", session_id="s")
            async for chunk in super().stream(messages):
                yield chunk

    model = Forgetting()
    memory = model.memory = InMemoryMemory(consolidator=Consolidator(model=model))
    await memory.remember(Episode(session_id="s", user_id="ann", input="I like tea", output="ok"))

    assert await memory.consolidate() == 0
    assert (await memory.export(user_id="ann")).facts == []


async def test_two_users_with_one_episode_id_are_both_read() -> None:
    memory = InMemoryMemory(consolidator=Consolidator(model=Model()))
    for user in ("ann", "ben"):
        await memory.remember(Episode(id="ep_1", session_id="s", user_id=user, input="I like tea", output="ok"))

    assert await memory.consolidate() == 2


async def test_without_a_consolidator_there_is_nothing_to_consolidate() -> None:
    memory = InMemoryMemory(fact_store=InMemoryFactStore())
    await memory.remember(Episode(session_id="s", input="a", output="b"))

    assert await memory.consolidate() == 0
    assert memory.snapshot()["episodes"].keys() == {None}


async def test_memory_without_a_fact_store_recalls_no_facts() -> None:
    memory = InMemoryMemory()

    assert memory.facts is None
    assert await memory.recall_facts("tea", user_id="ann") == []
    assert (await memory.profile(user_id="ann")).fact_count == 0


async def test_facts_of_the_memory_are_the_store_that_was_given() -> None:
    store = InMemoryFactStore()
    memory = InMemoryMemory(fact_store=store)
    await store.append(Fact(user_id="ann", subject="ann", predicate="likes", object="tea"))

    assert memory.facts is store
    assert len(await memory.recall_facts("tea", user_id="ann")) == 1
