import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from loom.messages import Message, ModelChunk
from memory.core import auto_extract
from memory.core.auto_extract import AutoExtractMemory
from memory.core.backends.in_memory import InMemoryMemory
from memory.core.consolidator import Consolidator
from memory.core.facts import InMemoryFactStore
from memory.core.protocol import Memory
from memory.core.values import Episode


class Model:
    error: Exception | None = None
    before_answer: Any = None
    asked = 0

    async def stream(self, messages: list[Message]) -> AsyncIterator[ModelChunk]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        if self.before_answer is not None:
            await self.before_answer()
        yield ModelChunk(kind="text", text='[{"subject": "ann", "predicate": "likes", "object": "tea"}]')


def memory_with(model: Model, **more: Any) -> AutoExtractMemory:
    return AutoExtractMemory(InMemoryMemory(fact_store=InMemoryFactStore()), Consolidator(model=model), **more)


def episode(user: str | None = "ann") -> Episode:
    return Episode(session_id="s", user_id=user, input="I like tea", output="ok")


async def test_facts_are_there_as_soon_as_the_episode_is_remembered() -> None:
    memory = memory_with(Model())

    await memory.remember(episode())

    assert [fact.object for fact in await memory.recall_facts("tea", user_id="ann")] == ["tea"]
    assert len(await memory.recall("tea", user_id="ann")) == 1
    assert isinstance(memory, Memory)


async def test_a_failed_extraction_never_fails_the_run(caplog: pytest.LogCaptureFixture) -> None:
    model, told = Model(), []
    model.error = ConnectionError("no model")

    async def tell(error: BaseException) -> None:
        told.append(str(error))

    memory = memory_with(model, on_extract_error=tell)

    with caplog.at_level(logging.WARNING, logger="loom.memory.auto_extract"):
        await memory.remember(episode())

    assert told == ["no model"]
    assert len(await memory.recall("tea", user_id="ann")) == 1
    assert "no facts were extracted" in caplog.text


async def test_without_a_fact_store_no_model_is_asked() -> None:
    model = Model()

    await AutoExtractMemory(InMemoryMemory(), Consolidator(model=model)).remember(episode())

    assert model.asked == 0


async def test_nothing_is_learned_from_what_is_forgotten_meanwhile() -> None:
    model = Model()
    memory = memory_with(model)
    model.before_answer = lambda: memory.forget(user_id="ann")

    await memory.remember(episode())

    export = await memory.export(user_id="ann")
    assert (export.episodes, export.facts) == ([], [])


async def test_forgetting_one_user_does_not_undo_what_is_read_for_another() -> None:
    model = Model()
    memory = memory_with(model)
    model.before_answer = lambda: memory.forget(user_id="ben")

    await memory.remember(episode())

    assert len((await memory.export(user_id="ann")).facts) == 1


async def test_every_extraction_is_measured() -> None:
    class Telemetry:
        def __init__(self) -> None:
            self.metrics: list[tuple[str, Any, Any]] = []

        async def emit_metric(self, name: str, value: float, **attrs: Any) -> None:
            self.metrics.append((name, attrs["user_id"], attrs["status"]))

    telemetry, model = Telemetry(), Model()
    memory = memory_with(model, telemetry=telemetry)

    await memory.remember(episode())
    model.error = ConnectionError()
    await memory.remember(episode())

    assert [metric for metric in telemetry.metrics if metric[0].endswith("invocations")] == [
        ("loom.auto_extract.invocations", "ann", "ok"),
        ("loom.auto_extract.invocations", "ann", "error"),
    ]
    assert len(telemetry.metrics) == 4


async def test_that_it_was_switched_on_by_itself_is_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto_extract, "_noticed", False)
    memory = memory_with(Model(), auto_picked=True)

    with caplog.at_level(logging.INFO, logger="loom.memory.auto_extract"):
        await memory.remember(episode())
        await memory.remember(episode())

    assert caplog.text.count("auto_extract=False turns it off") == 1


async def test_everything_else_is_asked_of_the_inner_memory() -> None:
    memory = memory_with(Model())
    await memory.update_block("a", "1", user_id="ann")
    await memory.append_block("a", "2", user_id="ann")

    assert [block.content for block in await memory.inner.working(user_id="ann")] == ["12"]
    assert await memory.working(user_id="ann") == await memory.inner.working(user_id="ann")
    assert await memory.consolidate() == 0
    assert (await memory.profile(user_id="ann")).user_id == "ann"
    assert await memory.session_messages("s", user_id="ann") == []
    assert await memory.recall_scored("tea", user_id="ann") == []
