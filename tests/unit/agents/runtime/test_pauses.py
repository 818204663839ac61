"""A run that waits for people comes to what the run that did not wait comes to.

Every kind of program, the wait that is answered in a special way, the answer, in the same process or each time in a new
one: all of them with one another. The unpaused run has an approval handler that gives the same answers at once.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from agents.core.agent import Agent
from agents.core.ambient import Ambient
from agents.core.architectures.supervisor import Supervisor
from agents.core.architectures.swarm import Swarm
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.runtime.engine import Failed, Finished, Outcome, Program, Waiting, advance
from agents.core.runtime.journal import JournalSession
from agents.core.runtime.suspended import Suspended
from agents.core.runtime.waiting import WaitingSession
from agents.core.tools.tool import Tool, tool
from agents.core.workflow import Workflow
from governance.core.approvals import EXPIRED, ApprovalHandler, Approve, Decision, decision_from
from governance.core.hooks import HookRegistry
from loom.context import RunContext, get_run_context
from loom.errors import NonDeterminism
from loom.events import Kind, Record
from loom.messages import Message, Role, ToolCall, ToolResult
from tests.unit.agents.journals import ListJournal

ANSWERS: dict[str, dict[str, Any]] = {
    "approve": {"decision": "approve"},
    "edit": {"decision": "edit", "args": {"amount": 100}},
    "reject": {"decision": "reject", "reason": "too much"},
    "respond": {"decision": "respond", "response": "paid by hand"},
    "expire": {"decision": "expire"},
}


@dataclass
class World:
    """What lies outside of the runs: what was paid, and what the hooks have seen."""

    paid: list[int] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    seen: list[tuple[str, str, Any]] = field(default_factory=list)

    def pay(self) -> Tool:
        @tool(approval=True)
        async def pay(amount: int) -> str:
            """Pay."""
            self.paid.append(amount)
            self.keys.append(get_run_context().idempotency_key or "")
            return f"paid {amount}"

        return pay

    def hooks(self) -> HookRegistry:
        hooks = HookRegistry()

        async def before(call: ToolCall) -> None:
            self.seen.append(("before", call.tool, dict(call.args)))

        async def after(call: ToolCall, result: ToolResult) -> None:
            self.seen.append(("after", call.tool, result.text()))

        hooks.register_pre_tool(before)
        hooks.register_post_tool(after)
        return hooks


class Clerk(ScriptedModel):
    """Answers by what it reads and not by how often it was asked, as a model in a new process would."""

    def __init__(self, answer: Callable[[Sequence[Message]], ScriptedTurn]) -> None:
        super().__init__([])
        self._answer = answer

    async def _next(self, messages: list[Message]) -> ScriptedTurn:
        return self._answer(messages)


def results(messages: Sequence[Message], tool: str) -> list[str]:
    return [m.content for m in messages if m.role is Role.TOOL and m.name == tool]


def one_by_one(messages: Sequence[Message]) -> ScriptedTurn:
    done = results(messages, "pay")
    if len(done) == 3:
        return ScriptedTurn("; ".join(done))
    return ScriptedTurn(tool_calls=[ToolCall(id=f"c{len(done)}", tool="pay", args={"amount": len(done) + 1})])


def all_at_once(messages: Sequence[Message]) -> ScriptedTurn:
    if done := results(messages, "pay"):
        return ScriptedTurn("; ".join(done))
    return ScriptedTurn(tool_calls=[ToolCall(id=f"c{n}", tool="pay", args={"amount": n + 1}) for n in range(3)])


def delegating(name: str, **args: Any) -> Callable[[Sequence[Message]], ScriptedTurn]:
    def answer(messages: Sequence[Message]) -> ScriptedTurn:
        if done := results(messages, name):
            return ScriptedTurn(f"they say: {done[-1]}")
        return ScriptedTurn(tool_calls=[ToolCall(id="d", tool=name, args=args)])

    return answer


Programs = Callable[[World, ApprovalHandler | None], Program]


def single(world: World, handler: ApprovalHandler | None) -> Program:
    return Agent("Pay.", model=Clerk(one_by_one), tools=[world.pay()], hooks=world.hooks(), approval_handler=handler)


def parallel(world: World, handler: ApprovalHandler | None) -> Program:
    return Agent("Pay.", model=Clerk(all_at_once), tools=[world.pay()], hooks=world.hooks(), approval_handler=handler)


def worker(world: World, handler: ApprovalHandler | None) -> Program:
    clerk = Agent("Pay.", model=Clerk(one_by_one), tools=[world.pay()])
    team = Supervisor(workers={"clerk": clerk})
    manager = Clerk(delegating("delegate", worker="clerk", instructions="pay all three"))
    return Agent("Lead.", model=manager, architecture=team, hooks=world.hooks(), approval_handler=handler)


def handoff(world: World, handler: ApprovalHandler | None) -> Program:
    clerk = Agent("Pay.", model=Clerk(one_by_one), tools=[world.pay()], name="clerk")
    desk = Agent("Greet.", model=Clerk(delegating("handoff", target="clerk", message="pay")), name="desk")
    swarm = Swarm(agents={"desk": desk, "clerk": clerk}, entry_agent="desk")
    return Agent("Shop.", model="echo", architecture=swarm, hooks=world.hooks(), approval_handler=handler)


def steps(world: World, handler: ApprovalHandler | None) -> Program:
    """A workflow whose three steps are agents that pay once each."""

    def once(amount: int) -> Agent:
        def answer(messages: Sequence[Message]) -> ScriptedTurn:
            if done := results(messages, "pay"):
                return ScriptedTurn(done[-1])
            return ScriptedTurn(tool_calls=[ToolCall(id="c", tool="pay", args={"amount": amount})])

        return Agent(
            "Pay.", model=Clerk(answer), tools=[world.pay()], hooks=world.hooks(), approval_handler=handler,
            name=f"payer-{amount}",
        )  # fmt: skip

    return Workflow.chain([once(1), once(2), once(3)], name="pays")


PROGRAMS: dict[str, Programs] = {
    "single tool": single,
    "parallel tools": parallel,
    "nested worker": worker,
    "handoff": handoff,
    "workflow step": steps,
}


def ambient_over(session: JournalSession) -> Ambient:
    async def note(event: Any) -> None:
        session.note(event)

    return Ambient(RunContext("ann", "s", "run_1"), runtime=session, emit=note)


def without_waits(records: Sequence[Record]) -> list[tuple[str, str, str]]:
    """A journal as it would be without waits, and without what differs between any two runs."""
    return [
        (record.kind, record.step_key, json.dumps(_lasting(record.data), sort_keys=True))
        for record in records
        if record.kind not in (Kind.APPROVAL_REQUESTED, Kind.APPROVAL_DECIDED, Kind.RUN_WAITING)
    ]


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _lasting(v) for k, v in value.items() if k not in ("started_at", "duration_ms", "id")}
    return [_lasting(item) for item in value] if isinstance(value, list) else value


async def run_through(make: Programs, decisions: dict[int, Decision]) -> tuple[Outcome, World, list[Record]]:
    """The run of which every question is answered at once. Questions are told apart by what is to be paid."""
    world, journal = World(), ListJournal()

    async def handler(call: ToolCall, user_id: str | None) -> Decision:
        return decisions[call.args["amount"]]

    session = JournalSession("s", journal)
    return await advance(make(world, handler), "pay", ambient_over(session), journal), world, journal.records


async def run_with_waits(
    make: Programs, said: dict[int, dict[str, Any]], *, restart: bool
) -> tuple[Outcome, World, list[Record], int]:
    """The run that waits for each answer; with `restart`, whoever goes on knows nothing but the journal."""
    world, journal = World(), ListJournal()
    program = make(world, None)
    for wait in itertools.count():
        if restart:
            program = make(world, None)
        session = WaitingSession("s", journal, journal.records)
        outcome = await advance(program, "pay", ambient_over(session), journal)
        if not isinstance(outcome, Waiting):
            return outcome, world, journal.records, wait
        answered = {record.step_key for record in journal.records if record.kind == Kind.APPROVAL_DECIDED}
        asked = [r for r in journal.records if r.kind == Kind.APPROVAL_REQUESTED and r.step_key not in answered]
        assert sorted(outcome.steps) == sorted(record.step_key for record in asked)
        for record in asked:
            journal.post(
                Record(kind=Kind.APPROVAL_DECIDED, step_key=record.step_key, data=said[record.data["args"]["amount"]])
            )
    raise AssertionError


@pytest.mark.parametrize("restart", [False, True], ids=["warm", "after a restart"])
@pytest.mark.parametrize("special", [1, 2, 3])
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_run_that_waits_equals_the_run_that_does_not(
    name: str, answer: str, special: int, *, restart: bool
) -> None:
    said = dict.fromkeys((1, 2, 3), ANSWERS["approve"]) | {special: ANSWERS[answer]}
    decisions = {amount: decision_from(one) for amount, one in said.items()}

    through, plain_world, plain_journal = await run_through(PROGRAMS[name], decisions)
    paused, world, journal, waits = await run_with_waits(PROGRAMS[name], said, restart=restart)

    assert waits == (1 if name == "parallel tools" else 3)
    assert isinstance(paused, Finished)
    assert paused == through
    assert sorted(world.paid) == sorted(plain_world.paid)
    assert sorted(map(str, world.seen)) == sorted(map(str, plain_world.seen))
    assert sorted(without_waits(journal)) == sorted(without_waits(plain_journal))
    if name != "parallel tools":
        assert (world.paid, world.seen) == (plain_world.paid, plain_world.seen)
        assert without_waits(journal) == without_waits(plain_journal)


async def test_the_model_reads_what_became_of_its_question() -> None:
    said = {1: ANSWERS["reject"], 2: ANSWERS["expire"], 3: ANSWERS["respond"]}

    outcome, world, _, _ = await run_with_waits(single, said, restart=True)

    assert isinstance(outcome, Finished)
    assert outcome.answer.output == (
        f"DENIED: pay: approval required; too much; DENIED: pay: approval required; {EXPIRED}; paid by hand"
    )
    assert world.paid == []


async def test_siblings_that_needed_nobody_have_run_when_the_run_waits_and_do_not_run_again() -> None:
    world, journal, looked = World(), ListJournal(), []

    @tool(effect="read")
    async def look(what: str) -> str:
        """Look."""
        await anyio.sleep(0.01)
        looked.append(what)
        return f"saw {what}"

    def answer(messages: Sequence[Message]) -> ScriptedTurn:
        if done := [m.content for m in messages if m.role is Role.TOOL]:
            return ScriptedTurn("; ".join(done))
        calls = [("pay", {"amount": 1}), ("look", {"what": "it"})]
        return ScriptedTurn(tool_calls=[ToolCall(id=name, tool=name, args=args) for name, args in calls])

    agent = Agent("x", model=Clerk(answer), tools=[world.pay(), look])
    outcome = await advance(agent, "go", ambient_over(WaitingSession("s", journal)), journal)

    assert isinstance(outcome, Waiting)
    assert looked == ["it"]
    [step] = outcome.steps
    journal.post(Record(kind=Kind.APPROVAL_DECIDED, step_key=step, data=ANSWERS["approve"]))
    outcome = await advance(agent, "go", ambient_over(WaitingSession("s", journal, journal.records)), journal)

    assert isinstance(outcome, Finished)
    assert outcome.answer.output == "paid 1; saw it"
    assert looked == ["it"]


async def test_a_question_is_put_once_however_often_the_run_is_taken_up() -> None:
    journal = ListJournal()
    for _ in range(3):
        session = WaitingSession("s", journal, journal.records)
        assert isinstance(await advance(single(World(), None), "pay", ambient_over(session), journal), Waiting)

    asked = [record for record in journal.records if record.kind == Kind.APPROVAL_REQUESTED]
    assert [record.data["args"] for record in asked] == [{"amount": 1}]


async def test_a_decision_counts_only_for_the_call_that_was_shown() -> None:
    world, journal = World(), ListJournal()
    await advance(single(world, None), "pay", ambient_over(WaitingSession("s", journal)), journal)
    [step] = [record.step_key for record in journal.records if record.kind == Kind.APPROVAL_REQUESTED]
    journal.post(Record(kind=Kind.APPROVAL_DECIDED, step_key=step, data=ANSWERS["approve"]))
    session = WaitingSession("s", journal, journal.records)

    with pytest.raises(NonDeterminism, match=r"asked about pay\(\{'amount': 1\}\) and is now pay\(\{'amount': 9\}\)"):
        session.decision_on(step, ToolCall(id="c", tool="pay", args={"amount": 9}))


@pytest.mark.parametrize(
    ("answer", "paid", "said"),
    [
        ("approve", [1], "paid 1"),
        ("respond", [], "paid by hand"),
        ("reject", [], "was not made again. Find out what happened before you go on. too much"),
    ],
)
async def test_a_call_that_may_have_happened_is_put_before_a_person(answer: str, paid: list[int], said: str) -> None:
    paying: list[int] = []

    @tool(effect="irreversible")
    async def wire(amount: int) -> str:
        """Wire."""
        paying.append(amount)
        return f"paid {amount}"

    def says(messages: Sequence[Message]) -> ScriptedTurn:
        if done := results(messages, "wire"):
            return ScriptedTurn(done[-1])
        return ScriptedTurn(tool_calls=[ToolCall(id="c", tool="wire", args={"amount": 1})])

    def agent() -> Agent:
        return Agent("x", model=Clerk(says), tools=[wire])

    whole = ListJournal()
    await advance(agent(), "go", ambient_over(WaitingSession("s", whole)), whole)
    journal, paying[:] = ListJournal(), []
    for record in whole.records:  # the process dies in the middle of the call
        journal.post(record)
        if record.kind == Kind.TOOL_STARTED:
            break

    outcome = await advance(agent(), "go", ambient_over(WaitingSession("s", journal, journal.records)), journal)

    assert isinstance(outcome, Waiting)
    assert paying == []
    [asked] = [record for record in journal.records if record.kind == Kind.APPROVAL_REQUESTED]
    assert (asked.data["kind"], asked.data["args"]) == ("reconcile", {"amount": 1})
    journal.post(Record(kind=Kind.APPROVAL_DECIDED, step_key=asked.step_key, data=ANSWERS[answer]))
    outcome = await advance(agent(), "go", ambient_over(WaitingSession("s", journal, journal.records)), journal)

    assert isinstance(outcome, Finished)
    assert outcome.answer.output.endswith(said)
    assert paying == paid


async def test_a_failure_beside_a_wait_is_the_runs_failure() -> None:
    async def fails(value: Any) -> Any:
        raise ValueError("broken")

    journal = ListJournal()
    program = Workflow.parallel([world_agent(), fails], name="both")

    outcome = await advance(program, "pay", ambient_over(WaitingSession("s", journal)), journal)

    assert isinstance(outcome, Failed)
    assert outcome.error["message"] == "broken"


def world_agent() -> Agent:
    agent = single(World(), None)
    assert isinstance(agent, Agent)
    return agent


def test_a_wait_is_no_exception_that_somebody_might_catch() -> None:
    assert not issubclass(Suspended, Exception)
    assert decision_from(ANSWERS["approve"]) == Approve()
