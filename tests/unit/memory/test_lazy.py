from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import anyio
import pytest

from loom.errors import ConfigError, MemoryStoreError
from memory.core.backends.in_memory import InMemoryMemory
from memory.core.facts import InMemoryFactStore
from memory.core.lazy import LazyMemory
from memory.core.protocol import BatchFactStore, ErasableFactStore, Memory
from memory.core.values import Episode, Fact


class Server:
    """Memory that takes a moment to reach, and may be away."""

    def __init__(self) -> None:
        self.reached, self.closed = 0, 0
        self.fails: Exception | None = None
        self.there = anyio.Event()
        self.there.set()

    async def build(self) -> Served:
        self.reached += 1
        await self.there.wait()
        if self.fails is not None:
            raise self.fails
        return Served(self)


class Served(InMemoryMemory):
    def __init__(self, server: Server) -> None:
        super().__init__(fact_store=InMemoryFactStore())
        self.server = server

    async def aclose(self) -> None:
        self.server.closed += 1


@pytest.fixture
async def server() -> Server:
    return Server()


async def gathered(count: int, work: Callable[[], Awaitable[object]]) -> list[object]:
    outcomes: list[object] = []

    async def one() -> None:
        try:
            outcomes.append(await work())
        except MemoryStoreError as error:
            outcomes.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(one)
    return outcomes


async def test_it_is_a_memory_that_connects_when_it_is_first_used(server: Server) -> None:
    memory = LazyMemory(server.build, description="postgresql://db")

    assert isinstance(memory, Memory)
    assert (server.reached, memory.is_ready, memory.description) == (0, False, "postgresql://db")

    await memory.remember(Episode(session_id="s", user_id="ann", input="tea", output="noted"))

    assert (server.reached, memory.is_ready) == (1, True)
    assert [each.input for each in await memory.recall("tea", user_id="ann")] == ["tea"]


async def test_it_connects_once_when_many_tasks_arrive_together(server: Server) -> None:
    memory = LazyMemory(server.build)

    await gathered(50, memory.working)

    assert server.reached == 1


async def test_who_waits_for_a_connection_that_fails_hears_of_it_and_the_next_use_tries_again(server: Server) -> None:
    server.fails = ConnectionError("nobody listens")
    memory = LazyMemory(server.build, description="redis://:***@cache")

    outcomes = await gathered(20, memory.working)
    server.fails = None

    assert [str(each) for each in outcomes] == ["the memory redis://:***@cache cannot be reached: nobody listens"] * 20
    assert server.reached == 1
    assert await memory.working() == []


async def test_a_task_that_is_cancelled_while_it_connects_takes_no_other_along(server: Server) -> None:
    server.there = anyio.Event()
    memory = LazyMemory(server.build)
    answers: list[object] = []

    async def ask() -> None:
        answers.append(await memory.working())

    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as first:
            async with anyio.create_task_group() as inner:
                inner.start_soon(ask)
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(ask)
                await anyio.wait_all_tasks_blocked()
                first.cancel()
        server.there.set()

    assert answers == [[]]
    assert server.reached == 2


async def test_a_configuration_that_cannot_work_is_reported_as_such(server: Server) -> None:
    server.fails = ConfigError("the table has other columns")

    with pytest.raises(ConfigError, match="other columns"):
        await LazyMemory(server.build).working()


async def test_facts_can_be_used_before_it_is_connected(server: Server) -> None:
    memory = LazyMemory(server.build, with_facts=True)
    facts = memory.facts
    assert isinstance(facts, ErasableFactStore)
    assert isinstance(facts, BatchFactStore)

    rome = Fact(user_id="ann", subject="ann", predicate="lives_in", object="Rome")
    await facts.append(rome)
    await facts.append_many([Fact(user_id="ben", subject="ben", predicate="lives_in", object="Oslo")])

    assert await memory.recall_facts("Rome", user_id="ann") == [rome]
    assert await facts.query(user_id="ann") == await facts.recall_text("Rome", user_id="ann") == [rome]
    assert len(await facts.all_facts()) == 2
    assert await facts.forget(user_id="ann") == 1
    assert memory.facts is not facts
    assert isinstance(memory.facts, InMemoryFactStore)


async def test_nothing_is_said_of_facts_before_it_is_known_whether_there_are_any(server: Server) -> None:
    memory = LazyMemory(server.build)

    assert memory.facts is None
    await memory.working()
    assert isinstance(memory.facts, InMemoryFactStore)


async def test_facts_that_were_promised_and_are_not_there_are_asked_for_in_vain() -> None:
    async def build() -> InMemoryMemory:
        return InMemoryMemory()

    facts = LazyMemory(build, with_facts=True).facts
    assert facts is not None

    with pytest.raises(ConfigError, match="InMemoryMemory was said to keep facts"):
        await facts.query()


async def test_what_is_closed_connects_again_when_it_is_used(server: Server) -> None:
    memory = LazyMemory(server.build)
    await memory.aclose()
    await memory.working()

    await memory.aclose()
    await memory.aclose()
    assert (server.reached, server.closed, memory.is_ready) == (1, 1, False)

    await memory.working()
    assert server.reached == 2


def test_one_event_loop_after_another_gets_a_connection_of_its_own() -> None:
    reached: list[object] = []

    async def build() -> InMemoryMemory:
        reached.append(asyncio.get_running_loop())
        return InMemoryMemory()

    memory = LazyMemory(build)
    asyncio.run(memory.update_block("profile", "tea", user_id="ann"))
    asyncio.run(memory.update_block("profile", "mate", user_id="ann"))

    assert len(set(map(id, reached))) == len(reached) == 2
    assert not memory.is_ready
    assert memory.facts is None
