"""A journal that is cut off anywhere: the run that goes on from it comes to the same end."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.core.agent import Agent
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.runtime.journaled import JournaledRuntime
from agents.core.runtime.store import InMemoryJournalStore, JournaledRun
from agents.core.runtime.writer import Append
from agents.core.tools.tool import tool
from loom.events import Kind, Record
from loom.messages import Role, ToolCall, Usage

RUN = JournaledRun("run_1", "ann", "s", "count")


class Shop:
    """An agent that orders things, and how often each thing was ordered."""

    def __init__(self, plan: list[int]) -> None:
        self.plan, self.orders, self.store = plan, Counter[str](), InMemoryJournalStore()
        self.agent = Agent(
            "You order.", model=ScriptedModel([self._turn] * 50), tools=[tool(self.order)], runtime=self.runtime
        )

    @property
    def runtime(self) -> JournaledRuntime:
        return JournaledRuntime(self.store)

    async def order(self, thing: str) -> str:
        """Order a thing."""
        self.orders[thing] += 1
        return f"ordered {thing}"

    def _turn(self, messages: Any) -> ScriptedTurn:
        """As many calls in each turn as planned, then the results. It depends on the conversation alone."""
        turn = sum(message.role is Role.ASSISTANT for message in messages)
        if turn < len(self.plan):
            calls = [
                ToolCall(id=f"c{turn}_{n}", tool="order", args={"thing": f"{turn}.{n}"}) for n in range(self.plan[turn])
            ]
            return ScriptedTurn(tool_calls=calls, usage=Usage(output_tokens=1))
        return ScriptedTurn("; ".join(m.content for m in messages if m.role is Role.TOOL), usage=Usage(output_tokens=1))

    async def written(self, run_id: str) -> list[Record]:
        return [row.record for row in await self.store.read(run_id)]

    async def resumed_from(self, records: list[Record]) -> Any:
        await self.store.open(RUN)
        await self.store.append([Append(RUN.id, None, records)])
        return await self.agent.resume("s", "count", user_id="ann")


async def whole(plan: list[int]) -> tuple[Any, list[Record]]:
    shop = Shop(plan)
    result = await shop.agent.run("count", user_id="ann", session_id="s")
    [run_id] = shop.store._runs
    return result, await shop.written(run_id)


@settings(max_examples=60, deadline=None)
@given(plan=st.lists(st.integers(1, 4), max_size=3), cut=st.integers(0, 40))
def test_a_run_comes_to_the_same_end_wherever_its_journal_is_cut(plan: list[int], cut: int) -> None:
    async def story() -> None:
        result, records = await whole(plan)
        kept = records[: min(cut, len(records) - 1)]  # without its last record no run has ended
        later = Shop(plan)
        again = await later.resumed_from(kept)

        assert (again.output, again.turns, again.tokens_out) == (result.output, result.turns, result.tokens_out)
        ended = {r.step_key for r in kept if r.kind == Kind.TOOL_COMPLETED}
        assert sum(later.orders.values()) == sum(plan) - len(ended)
        steps = [r.step_key for r in await later.written(RUN.id) if "value" in r.data]
        assert sorted(steps) == sorted({r.step_key for r in records if "value" in r.data})

    anyio.run(story)


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 15), min_size=2, max_size=3))
def test_a_run_comes_to_the_same_end_when_it_is_cut_again_and_again(cuts: list[int]) -> None:
    async def story() -> None:
        result, records = await whole([2, 1])
        for cut in sorted(cuts):
            shop = Shop([2, 1])
            assert (await shop.resumed_from(records[: min(cut, len(records) - 1)])).output == result.output
            records = await shop.written(RUN.id)

    anyio.run(story)


async def test_a_resumed_run_that_does_other_things_is_refused() -> None:
    from loom.errors import NonDeterminism

    _, records = await whole([2])
    other = Shop([2])
    other.agent = Agent(
        "You sell.", model=ScriptedModel([other._turn] * 9), tools=[tool(other.order)], runtime=other.runtime
    )

    with pytest.raises(NonDeterminism, match="turn:1/model"):
        await other.resumed_from(records[:-1])
    assert not other.orders
