"""Every strategy inside of every other, three deep: what holds for one holds for all of them together."""

from __future__ import annotations

import itertools

import pytest

from agents.core.agent import Agent
from agents.core.ambient import Ambient
from agents.core.runtime.engine import Finished, Outcome, Waiting, advance
from agents.core.runtime.journaled import JournaledRuntime
from agents.core.runtime.store import Append, InMemoryJournalStore, JournaledRun
from agents.core.runtime.waiting import WaitingSession
from agents.core.tools.tool import tool
from governance.core.budget import BudgetConfig
from governance.core.standard_budget import StandardBudget
from loom.context import RunContext, get_run_context
from loom.errors import TransientModelError
from loom.events import Event, EventKind, Kind, Record
from tests.contract.strategies import ALL, TEAMS, TOOLLESS, Oracle, Tape, nested

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
async def test_a_question_from_the_innermost_waits_for_its_answer_and_nothing_is_done_twice(names: list[str]) -> None:
    stamped: list[str | None] = []

    @tool(name="stamp", approval=True)
    async def stamp(text: str) -> str:
        """Stamp a text."""
        stamped.append(get_run_context().idempotency_key)
        return f"stamped {text}"

    tape, oracle, whole = Tape(), Oracle(tool=stamp), Oracle()
    outcome = await _advanced(tape, nested(oracle, *names))
    while isinstance(outcome, Waiting):
        for step in outcome.steps:
            tape.post(Record(kind=Kind.APPROVAL_DECIDED, step_key=step, data={"decision": "approve"}))
        outcome = await _advanced(tape, nested(oracle, *names))

    assert isinstance(outcome, Finished)
    assert outcome.answer.output == (await nested(whole, *names).run("Go.", user_id="ann")).output
    assert len(oracle.asked) == len(whole.asked)
    asked = [record.step_key for record in tape.records if record.kind == Kind.APPROVAL_REQUESTED]
    assert stamped
    assert sorted(stamped) == sorted(f"run_1:{step}" for step in asked)
    assert len(set(asked)) == len(asked)


async def _advanced(tape: Tape, program: Agent) -> Outcome:
    """What a new process makes of the run."""
    session = WaitingSession("sess_1", tape, list(tape.records))
    context = RunContext(user_id="ann", session_id="sess_1", run_id="run_1")
    return await advance(program, "Go.", Ambient(context, runtime=session), tape)


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
