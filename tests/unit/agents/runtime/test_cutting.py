"""A journal that is cut before any of its events: another run goes on from there and comes to the same end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from agents.core.agent import Agent
from agents.core.ambient import Ambient
from agents.core.architectures.supervisor import Supervisor
from agents.core.llm.scripted import ScriptedTurn
from agents.core.runtime.cutting import Cut, Line, cut_before, cut_unfinished
from agents.core.runtime.engine import Failed, Finished, Outcome, Program, advance
from agents.core.runtime.waiting import WaitingSession
from agents.core.tools.tool import Tool, tool
from agents.core.workflow import Workflow
from governance.core.retry import RetryPolicy
from loom.context import RunContext, get_run_context
from loom.events import Kind, Record
from loom.messages import Message, Role, ToolCall
from tests.unit.agents.journals import ListJournal
from tests.unit.agents.runtime.test_pauses import Clerk, delegating


class Bank:
    """Where money is sent. It knows a key that it has seen, and then sends nothing again."""

    def __init__(self) -> None:
        self.sent: dict[str, int] = {}
        self.asked = Counter[str]()
        self.is_open = True

    def send(self) -> Tool:
        @tool(effect="keyed")
        async def send(amount: int) -> str:
            """Send an amount."""
            key = get_run_context().idempotency_key or ""
            self.asked[key] += 1
            if not self.is_open:
                raise RuntimeError("closed")
            self.sent.setdefault(key, amount)
            return f"sent {amount}"

        return send


def pays(messages: Sequence[Message]) -> ScriptedTurn:
    """Two payments at once, a third one, then what came of them."""
    done = [m.content for m in messages if m.role is Role.TOOL]
    plan = {0: (1, 2), 2: (3,)}
    if len(done) not in plan:
        return ScriptedTurn("; ".join(done))
    return ScriptedTurn(tool_calls=[ToolCall(id=f"c{n}", tool="send", args={"amount": n}) for n in plan[len(done)]])


def alone(bank: Bank) -> Program:
    return Agent("Pay.", model=Clerk(pays), tools=[bank.send()])


def led(bank: Bank) -> Program:
    clerk = Agent("Pay.", model=Clerk(pays), tools=[bank.send()])
    manager = Clerk(delegating("delegate", worker="clerk", instructions="pay"))
    return Agent("Lead.", model=manager, architecture=Supervisor(workers={"clerk": clerk}))


def drawn(bank: Bank) -> Program:
    async def prepare(value: int) -> dict[str, int]:
        return {"amount": value}

    clerk = Agent("Pay.", model=Clerk(pays), tools=[bank.send()])
    return Workflow.chain([prepare, bank.send(), clerk])


PROGRAMS = [alone, led, drawn]


async def begin(program: Program, run_id: str, kept: Sequence[Record] = ()) -> tuple[Outcome, list[Record]]:
    """Run a program over what is kept of another run; the journal of this one."""
    journal = ListJournal()
    for record in kept or [Record(kind=Kind.RUN_STARTED, data={"input": 7})]:
        journal.post(record)
    session = WaitingSession("s", journal, list(kept))
    outcome = await advance(program, 7, Ambient(RunContext("ann", "s", run_id), runtime=session), journal)
    return outcome, journal.records


def lines_of(records: Sequence[Record]) -> list[Line]:
    return [
        Line(
            seq,
            record.kind,
            record.step_key,
            is_end="value" in record.data,
            has_key="idempotency_key" in record.data,
            ok=record.kind != Kind.TOOL_COMPLETED or record.data["value"]["ok"],
            effect=record.data.get("effect"),
            tool=record.data.get("tool"),
        )
        for seq, record in enumerate(records, start=1)
    ]


def kept_of(cut: Cut, records: Sequence[Record]) -> list[Record]:
    return [records[line.seq - 1] for line in cut.kept]


@pytest.mark.parametrize("make", PROGRAMS)
async def test_a_run_that_begins_before_any_event_comes_to_the_same_end(make: Callable[[Bank], Program]) -> None:
    whole, records = await begin(make(Bank()), "run_1")
    assert isinstance(whole, Finished)

    for seq in range(2, len(records) + 1):
        bank = Bank()
        cut = cut_before(lines_of(records), seq)

        outcome, journal = await begin(make(bank), "run_2", kept_of(cut, records))

        assert outcome == whole, seq
        again = {effect.step_key: effect for effect in cut.effects()}
        called = {key.partition(":")[2]: key.partition(":")[0] for key in bank.asked}
        assert called.keys() == again.keys(), seq
        assert {key: run == "run_2" for key, run in called.items()} == {
            key: effect.may_happen_twice for key, effect in again.items()
        }, seq
        ends = [record.step_key for record in journal if "value" in record.data]
        assert sorted(ends) == sorted({record.step_key for record in records if "value" in record.data}), seq


async def test_all_tries_of_a_workflow_s_tool_are_there_again_under_one_key() -> None:
    bank = Bank()
    bank.is_open = False

    def make() -> Program:
        patient = RetryPolicy(max_attempts=2, initial_delay_s=0, max_delay_s=0)
        return Workflow("w").add_node("pay", bank.send(), retry=patient).set_start("pay")

    failed, records = await begin(make(), "run_1")
    assert isinstance(failed, Failed)
    cut = cut_unfinished(lines_of(records))
    again, _ = await begin(make(), "run_2", kept_of(cut, records))
    bank.is_open = True
    done, _ = await begin(make(), "run_3", kept_of(cut, records))

    assert isinstance(again, Failed)
    assert isinstance(done, Finished)
    assert bank.asked == {"run_1:step:pay#1/tool:call_1": 5}
