"""A workflow as a tool is a part of the run that calls it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agents.core.agent import Agent
from agents.core.ambient import Ambient
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.result import RunResult
from agents.core.runtime.journal import JournalSession
from agents.core.tools.host import InProcessToolHost
from agents.core.tools.tool import Tool, tool
from agents.core.workflow import Workflow
from audit.core.log import InMemoryAuditLog
from audit.core.telemetry import InMemoryTelemetry
from governance.core.budget import BudgetConfig
from governance.core.permissions import StandardPermissions
from governance.core.sandbox.filesystem import FilesystemSandbox
from governance.core.standard_budget import StandardBudget
from loom.context import RunContext, get_run_context
from loom.errors import NonDeterminism, TransientModelError
from loom.events import Event, EventKind, Record
from loom.messages import Message, Role, ToolCall, ToolDef, ToolResult, Usage
from memory.core.backends.in_memory import InMemoryMemory
from tests.unit.agents.journals import ListJournal

USAGE = Usage(input_tokens=5, output_tokens=2, cost_usd=0.5)


def says(text: str) -> ScriptedTurn:
    return ScriptedTurn(text, usage=USAGE)


def call(name: str, **args: Any) -> ScriptedTurn:
    return ScriptedTurn(tool_calls=[ToolCall(id="c1", tool=name, args=args)], usage=USAGE)


def raising(error: Exception) -> Any:
    def fail(messages: list[Message]) -> ScriptedTurn:
        raise error

    return fail


def inner(*lines: Any, **options: Any) -> Agent:
    return Agent("You look things up.", name="inner", model=ScriptedModel(list(lines)), **options)


def caller(made: Tool, then: Any = None, **options: Any) -> Agent:
    """An agent that calls the tool and then says what it is told to. It may begin with either."""

    def answer(messages: list[Message]) -> ScriptedTurn:
        if messages[-1].role is not Role.TOOL:
            return call(made.name, input="A-17")
        turn: ScriptedTurn = then(messages) if then is not None else says("Friday.")
        return turn

    return Agent("You help.", name="caller", model=ScriptedModel([answer] * 2), tools=[made], **options)


def status(*steps: Any, **options: Any) -> Tool:
    return Workflow.chain(list(steps), name="status", **options).as_tool()


async def run_over(agent: Agent, recorded: list[Record], *, journal: ListJournal | None = None) -> RunResult:
    from agents.core import execution

    session = JournalSession("s", journal or ListJournal(), recorded)
    return await execution.execute(agent, "Where?", Ambient(RunContext("ann", "s", "run_1"), runtime=session))


async def test_its_tokens_and_its_cost_are_the_callers() -> None:
    budget = StandardBudget(BudgetConfig(per_user_max_tokens=10_000_000))
    result = await caller(status(inner(says("on its way"))), budget=budget).run("Where?", user_id="ann")

    assert (result.output, result.total_tokens, result.cost_usd) == ("Friday.", 21, 1.5)
    assert budget.usage_for("ann")["tokens_total"] == 21


async def test_a_spent_budget_of_the_caller_stops_its_agents() -> None:
    budget = StandardBudget(BudgetConfig(per_user_max_tokens=7))
    unheard = inner(raising(AssertionError("the budget was spent")))

    result = await caller(status(unheard), budget=budget).run("Where?", user_id="ann")

    assert str(result.interruption_reason).endswith("budget:per_user_max_tokens")


async def test_what_the_caller_may_not_do_its_agents_and_its_tools_may_not_do() -> None:
    wiped: list[str] = []

    @tool
    async def wipe(what: str) -> str:
        """Wipe."""
        wiped.append(what)
        return "wiped"

    read: list[str] = []

    def listen(messages: list[Message]) -> ScriptedTurn:
        read.extend(m.content for m in messages if m.role is Role.TOOL)
        return says("ok")

    rules = StandardPermissions(denied_tools=["wipe"])
    await caller(status(inner(call("wipe", what="all"), listen, tools=[wipe])), permissions=rules).run("Go.")
    await caller(status(wipe), listen, permissions=rules).run("Go.")

    assert wiped == []
    assert [text.startswith(("DENIED", "ERROR")) and "wipe" in text for text in read] == [True, True]


async def test_its_agents_know_what_the_caller_knows_and_leave_nothing_of_their_own() -> None:
    memory, heard = InMemoryMemory(), []

    def listen(messages: list[Message]) -> ScriptedTurn:
        heard.append("\n".join(m.content for m in messages))
        return says("Friday.")

    await Agent("", model="echo", memory=memory).run("Order A-17 is a teapot.", user_id="ann", session_id="old")
    await caller(status(inner(listen)), memory=memory).run("Where is A-17?", user_id="ann", session_id="new")

    assert "teapot" in heard[0]
    episodes = (await memory.export(user_id="ann")).episodes
    assert [e.input for e in episodes] == ["Order A-17 is a teapot.", "Where is A-17?"]


async def test_its_events_are_the_callers_and_say_where_they_happened() -> None:
    events: list[Event] = []

    async def hear(event: Event) -> None:
        events.append(event)

    await caller(status(inner(says("on its way")))).run("Where?", emit=hear)

    kinds = [event.kind for event in events]
    assert (kinds.count(EventKind.STARTED), kinds.count(EventKind.COMPLETED)) == (1, 1)
    [started] = [event for event in events if event.kind is EventKind.WORKFLOW_STARTED]
    assert started.worker == "turn:1/tool:call_1"
    assert "turn:1/tool:call_1/step:inner#1" in {event.worker for event in events}


async def test_its_steps_are_audited_and_traced_with_the_callers() -> None:
    log, telemetry = InMemoryAuditLog(), InMemoryTelemetry()
    nested = Workflow.chain([inner(says("on its way"))], name="nested")

    await caller(status(nested), audit_log=log, telemetry=telemetry).run("Where?", user_id="ann")

    steps = [e for e in await log.all_entries() if e.action == "step_started"]
    assert [(e.payload["workflow"], e.payload["node"], e.user_id) for e in steps] == [
        ("status", "nested", "ann"),
        ("nested", "inner", "ann"),
    ]
    spans = [span.attributes["step"] for span in telemetry.spans() if span.name == "loom.workflow.step"]
    assert sorted(spans) == ["inner", "nested"]


async def test_a_run_that_is_cut_off_goes_on_inside_of_it() -> None:
    done: list[str] = []

    async def find(number: str) -> str:
        done.append(get_run_context().session_id or "")
        return number

    def made(*lines: Any) -> Agent:
        return caller(status(find, inner(*lines)))

    journal = ListJournal()
    result = await run_over(made(says("on its way")), [], journal=journal)

    for cut in range(len(journal.records) + 1):
        again = await run_over(made(says("on its way")), journal.records[:cut])
        assert (again.output, again.total_tokens, again.cost_usd) == (result.output, 21, 1.5)
    assert set(done) == {"s:run_1:turn:1/tool:call_1"}
    keys = [key for kind, key in journal.steps if kind.endswith("completed")]
    assert keys == [
        "turn:1/model",
        "turn:1/tool:call_1/step:find#1",
        "turn:1/tool:call_1/step:inner#1/turn:1/model",
        "turn:2/model",
    ]


async def test_one_that_fails_is_told_to_the_model_and_stays_failed_in_a_replay() -> None:
    read: list[str] = []

    def listen(messages: list[Message]) -> ScriptedTurn:
        read.append(messages[-1].content)
        return says("Sorry.")

    journal = ListJournal()
    silent = inner(raising(TransientModelError("no answer")))
    first = await run_over(caller(status(inner(says("well")), silent), listen), [], journal=journal)
    deaf = raising(AssertionError("it was asked again"))
    again = await run_over(caller(status(inner(deaf), inner(deaf)), deaf), journal.records)

    assert read == ["ERROR: no answer"]
    assert (again.output, again.total_tokens) == (first.output, first.total_tokens) == ("Sorry.", 21)


async def test_code_that_has_changed_fails_the_run_and_not_the_call() -> None:
    async def find(number: str) -> str:
        return number

    async def seek(number: str) -> str:
        return number[::-1]

    journal = ListJournal()
    await run_over(caller(status(find)), [], journal=journal)
    changed = Workflow("status").add_node("find", seek).set_start("find")

    with pytest.raises(NonDeterminism, match="tool:call_1/step:find#1"):
        await run_over(caller(changed.as_tool()), journal.records[:-2])


async def test_behind_a_sandbox_it_is_a_part_of_the_run_as_well(tmp_path: Path) -> None:
    budget = StandardBudget(BudgetConfig(per_user_max_tokens=10_000_000))
    boxed = FilesystemSandbox(InProcessToolHost([status(inner(says("on its way")))]), roots=[tmp_path])
    model = ScriptedModel([call("status", input="/etc/passwd"), call("status", input="A-17"), says("Friday.")])

    result = await Agent("", model=model, tools=boxed, budget=budget).run("Where?", user_id="ann")

    assert (result.output, result.total_tokens) == ("Friday.", 28)
    assert budget.usage_for("ann")["tokens_total"] == 28


class Bare:
    """A host of somebody who knows the protocol and no more."""

    def __init__(self, made: Tool) -> None:
        self.made = made

    async def list_tools(self, *, query: str | None = None) -> list[ToolDef]:
        return [self.made.to_def()]

    async def call(self, tool: str, args: Mapping[str, Any], *, call_id: str = "") -> ToolResult:
        try:
            return ToolResult.success(call_id, await self.made.execute(args))
        except Exception as error:
            return ToolResult.error_(call_id, str(error))

    async def watch(self) -> AsyncIterator[Any]:
        return
        yield


async def test_a_host_that_would_lead_around_the_rules_of_a_run_is_refused_there() -> None:
    read: list[str] = []

    def listen(messages: list[Message]) -> ScriptedTurn:
        read.append(messages[-1].content)
        return says("Sorry.")

    host = Bare(status(inner(says("beside the run"))))
    await Agent("", model=ScriptedModel([call("status", input="A-17"), listen]), tools=host).run("Where?")

    assert "its tool host has no call_at" in read[0]
    assert (await host.call("status", {"input": "A-17"})).output == "beside the run"


async def test_wrong_arguments_are_told_to_the_model() -> None:
    read: list[str] = []

    def listen(messages: list[Message]) -> ScriptedTurn:
        read.append(messages[-1].content)
        return says("Sorry.")

    made = status(inner(says("never")))
    await Agent("", model=ScriptedModel([call("status", number="A-17"), listen]), tools=[made]).run("Where?")

    assert read[0].startswith("ERROR")
    assert "input" in read[0]


async def test_as_a_step_it_is_a_part_of_the_workflow_around_it() -> None:
    memory = InMemoryMemory()
    made = Workflow.chain([inner(says("on its way"))], name="nested", memory=memory).as_tool()

    result = await Workflow.chain([made, inner(says("Friday."))]).run("A-17", user_id="ann")

    assert (result.output, result.total_tokens, result.cost_usd) == ("Friday.", 14, 1.0)
    assert (await memory.profile(user_id="ann")).episode_count == 1
