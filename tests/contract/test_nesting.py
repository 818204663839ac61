"""Every strategy inside of every other, three deep: what holds for one holds for all of them together."""

from __future__ import annotations

import itertools

import pytest

from agents.core.runtime.journaled import JournaledRuntime
from agents.core.runtime.store import Append, InMemoryJournalStore, JournaledRun
from agents.core.tools.tool import tool
from governance.core.budget import BudgetConfig
from governance.core.standard_budget import StandardBudget
from loom.errors import TransientModelError
from loom.events import Event, EventKind, Record
from tests.contract.strategies import ALL, TEAMS, TOOLLESS, Oracle, nested

NAMES = list(ALL)
# How the events of a strategy begin. A bare loop has none of its own.
TELLS = {
    "self-refine": "self_refine.",
    "reflexion": "reflexion.",
    "plan-and-execute": "plan.",
    "rewoo": "rewoo.",
    "tree-of-thoughts": "tot.",
    "router": "router.",
    "supervisor": "supervisor.",
    "actor-critic": "actor_critic.",
    "debate": "debate.",
    "swarm": "swarm.",
    "blackboard": "blackboard.",
}


# The worker of a team that has the next one inside.
FIRST = {"actor-critic": "worker:actor", "debate": "worker:debater_1"}


def _third(outer: str, middle: str) -> list[str]:
    """Another one for each pair, so that each strategy is the innermost of eleven."""
    place = (NAMES.index(outer) + NAMES.index(middle)) % len(NAMES)
    return [] if middle in TOOLLESS else [NAMES[place]]


TRIPLES = [
    pytest.param([outer, middle, *_third(outer, middle)], id=" > ".join([outer, middle, *_third(outer, middle)]))
    for outer, middle in itertools.product(NAMES, NAMES)
    if outer not in TOOLLESS
]


@pytest.mark.parametrize("names", TRIPLES)
async def test_each_of_three_does_its_part_and_all_is_counted_once(names: list[str]) -> None:
    oracle, budget = Oracle(), StandardBudget(BudgetConfig(per_user_max_tokens=10_000_000))

    events: list[Event] = []

    async def hear(event: Event) -> None:
        events.append(event)

    result = await nested(oracle, *names, budget=budget).run("Go.", user_id="ann", emit=hear)

    assert result.output
    assert not result.interrupted
    assert budget.usage_for("ann")["tokens_total"] == 2 * len(oracle.asked) == result.total_tokens
    told = [event.payload["name"] for event in events if event.kind is EventKind.ARCHITECTURE_EVENT]
    for name in names:
        assert name == "react" or any(each.startswith(TELLS[name]) for each in told)
    kinds = [event.kind for event in events]
    assert (kinds[0], kinds[-1]) == (EventKind.STARTED, EventKind.COMPLETED)
    assert kinds.count(EventKind.STARTED) == kinds.count(EventKind.COMPLETED) == 1


class OneRun(InMemoryJournalStore):
    """A store with the journal of one run."""

    run_id = "run_1"

    @classmethod
    async def of(cls, records: list[Record]) -> OneRun:
        store = cls()
        await store.open(JournaledRun(store.run_id, "ann", "s", "Go."))
        await store.append([Append(store.run_id, None, records)])
        return store

    async def open(self, run: JournaledRun) -> int:
        self.run_id = run.id
        return await super().open(run)

    async def records(self) -> list[Record]:
        return [row.record for row in await self.read(self.run_id)]


@pytest.mark.parametrize("names", TRIPLES)
async def test_a_run_that_is_cut_off_at_any_step_goes_on_in_the_midst_of_three(names: list[str]) -> None:
    whole, oracle = OneRun(), Oracle()
    first = await nested(oracle, *names, runtime=JournaledRuntime(whole)).run("Go.", user_id="ann", session_id="s")
    records = await whole.records()
    keys = _ended(records)

    assert len(keys) == len(set(keys))
    for cut in _cuts(records):
        store, again = await OneRun.of(records[:cut]), Oracle()
        result = await nested(again, *names, runtime=JournaledRuntime(store)).resume("s", "Go.", user_id="ann")

        assert result.output == first.output
        assert sorted(_ended(await store.records())) == sorted(keys)
        done = sum(key.endswith("/model") for key in _ended(records[:cut]))
        assert len(again.asked) == len(oracle.asked) - done


@pytest.mark.parametrize("names", [triple for triple in TRIPLES if triple.values[0][-1] not in TOOLLESS])
async def test_a_pause_in_the_innermost_comes_out_as_itself_and_the_run_goes_on_from_there(names: list[str]) -> None:
    class Paused(BaseException):
        pass

    waiting = [Paused("a person must decide")]

    @tool(name="stamp")
    async def stamp(text: str) -> str:
        """Stamp a text."""
        if waiting:
            raise waiting.pop()
        return f"stamped {text}"

    runtime, oracle, whole = JournaledRuntime(), Oracle(tool=stamp), Oracle()
    with pytest.raises(Paused, match="a person must decide"):
        await nested(oracle, *names, runtime=runtime).run("Go.", user_id="ann", session_id="s")
    result = await nested(oracle, *names, runtime=runtime).resume("s", "Go.", user_id="ann")

    assert result.output == (await nested(whole, *names).run("Go.", user_id="ann", session_id="s")).output
    assert len(oracle.asked) <= len(whole.asked) + names.count("debate")  # a debater beside the pause may ask again


@pytest.mark.parametrize("third", list(TEAMS))
@pytest.mark.parametrize("middle", list(TEAMS))
@pytest.mark.parametrize("outer", list(TEAMS))
async def test_a_failing_worker_in_the_innermost_team_says_the_whole_way_to_it(
    outer: str, middle: str, third: str
) -> None:
    with pytest.raises(TransientModelError, match="the oracle is silent") as caught:
        await nested(Oracle(bottom=Oracle(failing=True)), outer, middle, third).run("Go.")

    way = [place.partition("#")[0] for place in str(caught.value.facts["worker"]).split("/")]
    last = "worker:coordinator" if third == "blackboard" else FIRST.get(third, "worker:w")
    assert way == [FIRST.get(outer, "worker:w"), FIRST.get(middle, "worker:w"), last]


def _ended(records: list[Record]) -> list[str]:
    return [record.step_key for record in records if "value" in record.data]


def _cuts(records: list[Record]) -> list[int]:
    """The lengths of the journal after each step."""
    return [place for place, record in enumerate(records, start=1) if "value" in record.data][:-1]
