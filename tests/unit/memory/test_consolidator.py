from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from loom.messages import Message, ModelChunk
from memory.core.backends.in_memory import InMemoryMemory
from memory.core.consolidator import ConsolidationWorker, Consolidator
from memory.core.facts import InMemoryFactStore
from memory.core.values import Episode

ASKED_AT = datetime(2026, 3, 1, tzinfo=UTC)
TEA = '{"subject": "ann", "predicate": "likes", "object": "tea", "confidence": 0.9}'


class Model:
    """Answers with one text, in pieces."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.requests: list[list[Message]] = []

    async def stream(self, messages: list[Message]) -> AsyncIterator[ModelChunk]:
        self.requests.append(messages)
        for piece in (self.answer[:7], self.answer[7:]):
            yield ModelChunk(kind="text", text=piece)
        yield ModelChunk(kind="finish")


def episode(**more: Any) -> Episode:
    return Episode(**{"id": "ep_1", "session_id": "s", "user_id": "ann", "input": "I like tea", "output": "ok"} | more)


async def facts_of(answer: str, **more: Any) -> list[tuple[str, str, str, float]]:
    found = await Consolidator(model=Model(answer), **more).consolidate([episode()], store=InMemoryFactStore())
    return [(fact.subject, fact.predicate, fact.object, fact.confidence) for fact in found]


async def test_a_fact_carries_its_user_its_time_and_its_source() -> None:
    store = InMemoryFactStore()

    (fact,) = await Consolidator(model=Model(f"[{TEA}]")).consolidate([episode(occurred_at=ASKED_AT)], store=store)

    assert (fact.user_id, fact.valid_from, fact.sources) == ("ann", ASKED_AT, ["ep_1"])
    assert await store.all_facts() == [fact]


@pytest.mark.parametrize("answer", [f"[{TEA}]", f"```json\n[{TEA}]\n```", f"Here you are:\n[{TEA}]\nAnything else?"])
async def test_facts_are_read_out_of_fences_and_sentences(answer: str) -> None:
    assert await facts_of(answer) == [("ann", "likes", "tea", 0.9)]


@pytest.mark.parametrize("answer", ["", "nothing", "[", "[1, 2", '{"subject": "ann"}', "[]", "[null, 3, []]"])
async def test_an_answer_that_is_no_list_of_facts_holds_none(answer: str) -> None:
    assert await facts_of(answer) == []


async def test_items_without_all_parts_are_left_out() -> None:
    answer = f'[{{"subject": "ann", "predicate": "likes"}}, {{"subject": "", "predicate": "p", "object": "o"}}, {TEA}]'

    assert await facts_of(answer) == [("ann", "likes", "tea", 0.9)]


@pytest.mark.parametrize(
    ("given", "read"), [("7", 1.0), ("-1", 0.0), ('"0.5"', 0.5), ('"high"', 1.0), ("null", 1.0), ("NaN", 1.0)]
)
async def test_confidence_stays_between_0_and_1(given: str, read: float) -> None:
    answer = f'[{{"subject": "ann", "predicate": "likes", "object": "tea", "confidence": {given}}}]'

    assert (await facts_of(answer))[0][3] == read


async def test_a_talkative_model_is_cut_off() -> None:
    assert len(await facts_of(f"[{', '.join([TEA] * 9)}]", max_facts_per_episode=3)) == 3


async def test_each_episode_is_one_request_that_holds_the_exchange_as_data() -> None:
    model = Model("[]")

    await Consolidator(model=model).consolidate([episode(), episode(id="ep_2")], store=InMemoryFactStore())

    assert len(model.requests) == 2
    assert model.requests[0][1].content == '{"assistant":"ok","user":"I like tea"}'


async def test_a_store_without_batches_gets_fact_by_fact() -> None:
    class OneByOne:
        def __init__(self) -> None:
            self.facts: list[Any] = []

        async def append(self, fact: Any) -> str:
            self.facts.append(fact)
            return str(fact.id)

    store = OneByOne()

    await Consolidator(model=Model(f"[{TEA}]")).consolidate([episode()], store=store)  # type: ignore[arg-type]

    assert [fact.object for fact in store.facts] == ["tea"]


# the worker


async def test_a_worker_counts_what_it_found_and_tells() -> None:
    memory = InMemoryMemory(consolidator=Consolidator(model=Model(f"[{TEA}]")))
    await memory.remember(episode())
    told: list[int] = []

    async def tell(found: int) -> None:
        told.append(found)

    worker = ConsolidationWorker(memory, on_consolidated=tell)

    assert [await worker.run_once(), await worker.run_once()] == [1, 0]
    assert (told, worker.iterations, worker.total_extracted) == ([1, 0], 2, 1)


async def test_a_failed_consolidation_is_told_and_counts_nothing() -> None:
    class Failing(InMemoryMemory):
        async def consolidate(self) -> int:
            raise ConnectionError("no model")

    told: list[BaseException] = []

    async def tell(error: BaseException) -> None:
        told.append(error)

    assert await ConsolidationWorker(Failing(), on_error=tell).run_once() == 0
    assert [str(error) for error in told] == ["no model"]


async def test_a_worker_works_for_as_long_as_its_block_lasts() -> None:
    twice = anyio.Event()

    async def tell(found: int) -> None:
        if worker.iterations == 2:
            twice.set()

    async with ConsolidationWorker(InMemoryMemory(), interval_seconds=0.001, on_consolidated=tell) as worker:
        with anyio.fail_after(5):
            await twice.wait()
    done = worker.iterations
    await anyio.sleep(0.01)

    assert worker.iterations == done >= 2


def test_a_worker_without_a_pause_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 0"):
        ConsolidationWorker(InMemoryMemory(), interval_seconds=0)
