"""The two doors to the outside: who is asked before a call, and what is the same with and without every layer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.core.agent import Agent
from agents.core.architectures.base import AgentSession, Dependencies
from agents.core.llm.echo import EchoModel
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.runtime.base import InProcRuntime
from agents.core.tools.host import InProcessToolHost
from agents.core.tools.tool import tool
from audit.core.log import FullTranscriptAuditLog, InMemoryAuditLog
from audit.core.telemetry import InMemoryTelemetry
from governance.core.approvals import Approve, Edit, Respond
from governance.core.budget import Budget, BudgetConfig, BudgetStatus, NoBudget, Reservation
from governance.core.hooks import HookRegistry
from governance.core.permissions import PermissionDecision, StandardPermissions
from governance.core.retry import RetryPolicy
from governance.core.sandbox.base import NoSandbox
from governance.core.secrets import DictSecrets
from governance.core.standard_budget import StandardBudget
from loom.context import get_run_context
from loom.errors import NonDeterminism
from loom.events import Event, EventKind
from loom.messages import Message, ModelChunk, ToolCall, ToolResult, Usage
from memory.core.backends.in_memory import InMemoryMemory
from memory.core.facts import InMemoryFactStore
from tests.unit.agents.journals import ListJournal, ListRuntime

ran: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


@tool(destructive=True)
async def wipe(name: str) -> str:
    """Wipe."""
    ran.append(name)
    return f"wiped {name}"


@tool(approval=True)
async def send(to: str) -> str:
    """Send."""
    ran.append(to)
    return f"sent to {to}"


@tool
async def look(at: str = "") -> str:
    """Look."""
    ran.append(at)
    return f"saw {at}"


def calling(*names: str, **args: Any) -> ScriptedTurn:
    return ScriptedTurn(tool_calls=[ToolCall(id=f"c{n}", tool=name, args=args) for n, name in enumerate(names)])


def agent_with(*turns: Any, **options: Any) -> Agent:
    return Agent("", model=ScriptedModel([*turns, ScriptedTurn("done")]), tools=[wipe, send, look], **options)


class Watched:
    def __init__(self) -> None:
        self.events: list[Event] = []

    async def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: EventKind) -> list[dict[str, Any]]:
        return [event.payload for event in self.events if event.kind is kind]


class Asks:
    """An approval handler that says what it is told to say."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, list[tuple[str, str | None]]()

    async def __call__(self, call: ToolCall, user_id: str | None) -> Any:
        self.asked.append((call.tool, user_id))
        return self.answer


# --- who is asked -----------------------------------------------------------------------------------------------------


async def test_a_destructive_tool_needs_approval_although_no_model_says_that_it_is_destructive() -> None:
    watched = Watched()
    await agent_with(calling("wipe", name="bob"), permissions=StandardPermissions()).run("x", emit=watched)
    assert ran == []
    [result] = watched.of(EventKind.TOOL_RESULT)
    assert result["result"].denied


async def test_a_hook_that_only_logs_does_not_stand_in_for_approval() -> None:
    hooks, no = HookRegistry(), Asks(False)

    @hooks.register_post_tool
    async def log(call: ToolCall, result: ToolResult) -> None: ...

    permissions = StandardPermissions()
    await agent_with(calling("wipe", name="bob"), permissions=permissions, hooks=hooks, approval_handler=no).run("x")
    assert (no.asked, ran) == ([("wipe", None)], [])


async def test_a_hook_that_is_late_denies() -> None:
    hooks = HookRegistry(hook_timeout_s=0.01)

    @hooks.register_pre_tool
    async def slow(call: ToolCall) -> None:
        await anyio.sleep(5)

    await agent_with(calling("look"), hooks=hooks).run("x")
    assert ran == []


async def test_a_hook_that_asks_is_heard() -> None:
    hooks = HookRegistry()

    @hooks.register_pre_tool
    async def ask(call: ToolCall) -> PermissionDecision:
        return PermissionDecision.ask_("are you sure?")

    watched = Watched()
    await agent_with(calling("look"), hooks=hooks).run("x", emit=watched)
    assert ran == []
    assert "are you sure?" in watched.of(EventKind.TOOL_RESULT)[0]["result"].reason


async def test_a_type_error_inside_a_policy_denies_and_does_not_run_it_again_without_the_user() -> None:
    saw: list[str | None] = []

    class Policy:
        async def check(self, call: ToolCall, *, context: Any, user_id: str | None = None) -> PermissionDecision:
            saw.append(user_id)
            raise TypeError("a bug")

    await agent_with(calling("look"), permissions=Policy()).run("x", user_id="alice")
    assert (saw, ran) == (["alice"], [])


async def test_a_type_error_inside_a_budget_is_not_charged_twice() -> None:
    consumed: list[str | None] = []

    class Broken:
        async def allows_step(self, *, user_id: str | None = None) -> BudgetStatus:
            return BudgetStatus.ok_()

        async def consume(
            self, *, tokens_in: int, tokens_out: int, cost_usd: float, user_id: str | None = None
        ) -> None:
            consumed.append(user_id)
            raise TypeError("a bug")

    budget: Budget = Broken()
    with pytest.raises(TypeError, match="a bug"):
        await agent_with(budget=budget).run("x", user_id="alice")
    assert consumed == ["alice"]


async def test_a_tool_that_demands_approval_is_not_called_without_it_where_nothing_else_is_wired() -> None:
    agent = agent_with(calling("send", to="bob"))
    assert agent.gate.is_open
    watched = Watched()
    await agent.run("x", emit=watched)
    assert ran == []
    assert watched.of(EventKind.TOOL_RESULT)[0]["result"].denied
    yes = Asks(True)
    await agent_with(calling("send", to="bob"), approval_handler=yes).run("x", user_id="alice")
    assert (yes.asked, ran) == ([("send", "alice")], ["bob"])


async def test_questions_and_decisions_are_emitted_and_audited() -> None:
    log, watched = InMemoryAuditLog(), Watched()
    agent = agent_with(
        calling("wipe", name="bob"), permissions=StandardPermissions(), approval_handler=Asks(True), audit_log=log
    )
    await agent.run("x", emit=watched)
    assert watched.of(EventKind.PERMISSION_ASK)[0]["call"].tool == "wipe"
    assert watched.of(EventKind.PERMISSION_DECISION)[0]["decision"] == "allow"
    entries = {e.action: e for e in await log.all_entries()}
    assert entries["permission_ask"].payload["reason"] == "wipe: destructive call requires approval"
    assert entries["permission_decision"].actor == "user"
    assert list(entries)[:5] == ["run_started", "tool_call", "permission_ask", "permission_decision", "tool_result"]


async def test_a_person_may_edit_a_call_or_answer_in_its_place() -> None:
    watched = Watched()
    await agent_with(calling("send", to="bob"), approval_handler=Asks(Edit({"to": "carol"}))).run("x", emit=watched)
    assert ran == ["carol"]
    await agent_with(calling("send", to="bob"), approval_handler=Asks(Respond("no need"))).run("x", emit=watched)
    assert ran == ["carol"]
    assert [p["result"].output for p in watched.of(EventKind.TOOL_RESULT)] == ["sent to carol", "no need"]


async def test_hooks_are_shown_the_call_that_ran_and_not_the_one_that_a_person_edited() -> None:
    hooks, seen = HookRegistry(), []

    @hooks.register_post_tool
    async def log(call: ToolCall, result: ToolResult) -> None:
        seen.append(call.args)

    edits = Asks(Edit({"to": "carol"}))
    await agent_with(calling("send", to="bob"), hooks=hooks, approval_handler=edits).run("x")
    assert (seen, ran) == ([{"to": "carol"}], ["carol"])


async def test_a_hook_that_edits_what_it_is_shown_changes_nothing_of_what_the_model_has_asked() -> None:
    hooks = HookRegistry()

    @hooks.register_pre_tool
    @hooks.register_post_tool
    async def mask(call: ToolCall, result: ToolResult | None = None) -> None:
        call.args["to"] = "***"

    read: list[Message] = []

    def listen(messages: list[Message]) -> ScriptedTurn:
        read.extend(messages)
        return ScriptedTurn("done")

    await agent_with(calling("send", to="bob"), listen, hooks=hooks, approval_handler=Asks(Approve())).run("x")

    assert ran == ["bob"]
    assert [call.args for message in read for call in message.tool_calls] == [{"to": "bob"}]


async def test_a_tool_that_appears_while_its_turn_runs_is_not_called_unjudged() -> None:
    host = InProcessToolHost()

    @host.register
    @tool
    async def load() -> str:
        """Load another tool."""
        host.register(wipe)
        return "loaded"

    turn = ScriptedTurn(tool_calls=[ToolCall(tool="load"), ToolCall(tool="wipe", args={"name": "bob"})])
    model = ScriptedModel([turn, ScriptedTurn("done")])
    await Agent("", model=model, tools=host, permissions=StandardPermissions()).run("x")
    assert ran == []


async def test_an_unknown_tool_is_an_error_that_names_one_that_is_near() -> None:
    watched = Watched()
    await agent_with(calling("lok")).run("x", emit=watched)
    assert watched.of(EventKind.TOOL_RESULT)[0]["result"].error == "unknown tool: lok; did you mean 'look'?"


async def test_a_tool_host_that_raises_is_an_error_result() -> None:
    class Host(InProcessToolHost):
        async def call(self, tool: str, args: Any, *, call_id: str = "") -> ToolResult:
            raise ConnectionError("gone")

    watched = Watched()
    agent = Agent("", model=ScriptedModel([calling("look"), ScriptedTurn("done")]), tools=Host([look]))
    assert (await agent.run("x", emit=watched)).output == "done"
    assert watched.of(EventKind.TOOL_RESULT)[0]["result"].error == "gone"


# --- calls of one turn ------------------------------------------------------------------------------------------------


async def test_calls_of_a_turn_run_at_the_same_time_and_their_results_keep_the_order() -> None:
    both = anyio.Event()

    @tool
    async def first() -> str:
        """Wait for the second."""
        with anyio.fail_after(5):
            await both.wait()
        return "one"

    @tool
    async def second() -> str:
        """Let the first go on."""
        both.set()
        return "two"

    heard: list[Message] = []

    def listen(messages: list[Message]) -> ScriptedTurn:
        heard.extend(messages)
        return ScriptedTurn("done")

    await Agent("", model=ScriptedModel([calling("first", "second"), listen]), tools=[first, second]).run("x")
    assert [(m.tool_call_id, m.content) for m in heard if m.role == "tool"] == [("c0", "one"), ("c1", "two")]


async def test_what_a_model_reads_of_errors_and_denials() -> None:
    @tool
    async def fail() -> str:
        """Fail."""
        raise ValueError("wrong number")

    heard: list[str] = []

    def listen(messages: list[Message]) -> ScriptedTurn:
        heard.extend(m.content for m in messages if m.role == "tool")
        return ScriptedTurn("done")

    permissions = StandardPermissions(denied_tools=["look"])
    model = ScriptedModel([calling("fail", "look"), listen])
    await Agent("", model=model, tools=[fail, look], permissions=permissions).run("x")
    assert heard == ["ERROR: wrong number", "DENIED: look: denied by policy"]


async def test_a_failing_strategy_surfaces_as_itself_and_not_as_a_group() -> None:
    class Strategy:
        name = "strategy"

        def declared_workers(self) -> dict[str, Agent]:
            return {}

        async def run(self, session: AgentSession, deps: Dependencies, prompt: str) -> AsyncIterator[Event]:
            from agents.core.concurrency import together

            async def fail() -> None:
                raise LookupError("a worker failed")

            await together([fail, lambda: anyio.sleep(9)])
            yield Event.error("", ValueError())

    with pytest.raises(LookupError, match="a worker failed"):
        await Agent("", model="echo", architecture=Strategy()).run("x")


async def test_cancelling_a_run_does_not_wait_for_the_thread_of_a_tool() -> None:
    import threading

    free = threading.Event()

    @tool
    def block() -> str:
        """Block."""
        free.wait(10)
        return "late"

    try:
        with anyio.move_on_after(0.05) as scope:
            await Agent("", model=ScriptedModel([calling("block")]), tools=[block]).run("x")
        assert scope.cancelled_caught
        assert not free.is_set()
    finally:
        free.set()


async def test_a_tool_has_its_own_timeout_and_typed_arguments() -> None:
    @tool(timeout=0.01)
    async def slow(tags: list[int]) -> str:
        """Wait."""
        await anyio.sleep(5)
        return "late"

    watched = Watched()
    turn = ScriptedTurn(tool_calls=[ToolCall(tool="slow", args={"tags": a}) for a in (["1"], "no")])
    await Agent("", model=ScriptedModel([turn, ScriptedTurn()]), tools=[slow]).run("x", emit=watched)
    errors = [p["result"].error for p in watched.of(EventKind.TOOL_RESULT)]
    assert any("within 0.01 s" in e for e in errors)
    assert any("tags" in e for e in errors)


# --- reservations -----------------------------------------------------------------------------------------------------


class Counts(NoBudget):
    def __init__(self, status: BudgetStatus | None = None) -> None:
        self.status, self.open, self.settled = status or BudgetStatus.ok_(), 0, list[Usage | None]()

    async def reserve(self, estimate: Any, *, user_id: str | None = None) -> Reservation | BudgetStatus:
        self.open += 1
        return Reservation(user_id=user_id, status=self.status)

    async def settle(self, reservation: Reservation, actual: Usage | None) -> None:
        await anyio.sleep(0)
        self.open -= 1
        self.settled.append(actual)


async def test_a_reservation_is_settled_also_when_the_run_is_cancelled() -> None:
    async def wait(messages: Any) -> ScriptedTurn:
        await anyio.sleep(5)
        return ScriptedTurn()

    budget = Counts()
    with anyio.move_on_after(0.01):
        await Agent("", model=ScriptedModel([wait]), budget=budget).run("x")
    assert (budget.open, budget.settled) == (0, [None])


async def test_a_reservation_is_settled_when_the_warning_cannot_be_told() -> None:
    async def stuck(event: Event) -> None:
        if event.kind is EventKind.BUDGET_WARNING:
            await anyio.sleep(5)

    budget = Counts(BudgetStatus.warn_("tokens at 90%"))
    with anyio.move_on_after(0.01):
        await Agent("", model="echo", budget=budget).run("x", emit=stuck)
    assert budget.open == 0


async def test_a_stream_is_closed_when_its_reader_fails() -> None:
    closed: list[bool] = []

    class Streams:
        name = "streams"

        async def stream(self, messages: Any, **options: Any) -> AsyncIterator[ModelChunk]:
            try:
                while True:
                    yield ModelChunk(kind="text", text="a")
            finally:
                closed.append(True)

    async def fail(event: Event) -> None:
        if event.kind is EventKind.MODEL_CHUNK:
            raise OSError("the reader is gone")

    with pytest.raises(OSError, match="the reader is gone"):
        await Agent("", model=Streams()).run("x", emit=fail)
    assert closed == [True]


# --- every layer and none ---------------------------------------------------------------------------------------------


def everything(turns: list[ScriptedTurn], **options: Any) -> tuple[Agent, list[list[Message]]]:
    heard: list[list[Message]] = []

    def say(turn: ScriptedTurn) -> Any:
        def listen(messages: list[Message]) -> ScriptedTurn:
            heard.append(list(messages))
            return turn

        return listen

    model = ScriptedModel([say(turn) for turn in [*turns, ScriptedTurn("the end")]])
    options = {"tools": [look, wipe, fails], **options}
    return Agent("Act.", model=model, max_turns=4, **options), heard


@tool
async def fails() -> str:
    """Fail."""
    raise ValueError("no")


made_calls = st.builds(
    lambda name, at, n: ToolCall(id=f"c{n}", tool=name, args={"at": at} if name == "look" else {"name": at}),
    st.sampled_from(["look", "wipe", "fails", "missing"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5),
    st.integers(0, 9),
)
scripts = st.lists(
    st.builds(
        lambda text, calls: ScriptedTurn(text, calls, Usage(input_tokens=1, output_tokens=1)),
        st.text("ab \n", max_size=5),
        st.lists(made_calls, max_size=3),
    ),
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(scripts)
async def test_a_run_with_every_layer_and_one_with_none_come_to_the_same(turns: list[ScriptedTurn]) -> None:
    hooks = HookRegistry()

    @hooks.register_pre_tool
    async def silent(call: ToolCall) -> None: ...

    bare, heard_bare = everything(turns)
    full, heard_full = everything(
        turns,
        tools=NoSandbox(InProcessToolHost([look, wipe, fails])),
        permissions=StandardPermissions(),
        approval_handler=Asks(True),
        hooks=hooks,
        budget=StandardBudget(BudgetConfig(max_tokens=10_000)),
        retry_policy=RetryPolicy(),
        secrets=DictSecrets({"KEY": "a secret of some length"}),
        memory=InMemoryMemory(fact_store=InMemoryFactStore()),
        context_window=1_000_000,
        audit_log=FullTranscriptAuditLog(InMemoryAuditLog()),
        telemetry=InMemoryTelemetry(),
        runtime=ListRuntime(),
        stop_hooks=[Content()],
    )
    one, other = await bare.run("go"), await full.run("go", emit=Watched())
    assert heard_bare == heard_full
    skipped = {"session_id", "started_at", "finished_at"}
    assert one.model_dump(exclude=skipped) == other.model_dump(exclude=skipped)


@pytest.mark.parametrize(
    "value", [datetime(2026, 5, 4, tzinfo=UTC), UUID(int=7), Decimal("1.50"), Path("/a"), b'a"b', {"a": 1}]
)
async def test_a_model_reads_the_same_of_a_result_with_a_journal_and_without(value: Any) -> None:
    @tool(name="look")
    async def give() -> Any:
        """Give."""
        return value

    bare, heard_bare = everything([calling("look")], tools=[give])
    full, heard_full = everything([calling("look")], tools=[give], runtime=ListRuntime())
    await bare.run("go")
    await full.run("go")
    assert heard_bare == heard_full


class Content:
    name = "content"

    async def __call__(self, session: Any, deps: Any, *, iteration: int) -> None:
        return None


# --- replay -----------------------------------------------------------------------------------------------------------


async def test_a_replay_asks_charges_audits_and_tells_hooks_of_nothing_again() -> None:
    journal = ListJournal()

    def made(recorded: Any, journal: ListJournal) -> tuple[Agent, Asks, Counts, InMemoryAuditLog, list[Any], Any]:
        hooks, seen, yes, budget, log = HookRegistry(), list[Any](), Asks(True), Counts(), InMemoryAuditLog()

        @hooks.register_post_tool
        async def after(call: ToolCall, result: ToolResult) -> None:
            seen.append(result.output)

        telemetry = InMemoryTelemetry()
        agent = agent_with(
            calling("wipe", name="bob"), permissions=StandardPermissions(), approval_handler=yes, hooks=hooks,
            budget=budget, audit_log=log, telemetry=telemetry, runtime=ListRuntime(recorded, journal),
        )  # fmt: skip
        return agent, yes, budget, log, seen, telemetry

    agent, yes, budget, *_ = made((), journal)
    first = await agent.run("x")
    assert (len(yes.asked), len(budget.settled), ran) == (1, 2, ["bob"])
    agent, yes, budget, log, seen, telemetry = made(journal.records, ListJournal())
    again = await agent.run("x")
    assert (again.output, again.turns) == (first.output, first.turns)
    assert (yes.asked, budget.settled, seen, ran) == ([], [], [], ["bob"])
    assert [e.action for e in await log.all_entries()] == ["run_started", "run_completed"]
    assert [span.name for span in telemetry.spans()] == ["loom.run"]


async def test_a_denied_call_replays_as_denied_although_it_would_be_allowed_now() -> None:
    journal = ListJournal()
    denies = StandardPermissions(denied_tools=["look"])
    await agent_with(calling("look", at="a"), permissions=denies, runtime=ListRuntime(journal=journal)).run("x")
    watched = Watched()
    await agent_with(calling("look", at="a"), runtime=ListRuntime(journal.records)).run("x", emit=watched)
    assert ran == []
    assert watched.of(EventKind.TOOL_RESULT)[0]["result"].reason == "look: denied by policy"


async def test_an_edited_call_replays_as_it_was_edited() -> None:
    journal = ListJournal()
    edits = Asks(Edit({"to": "carol"}))
    await agent_with(calling("send", to="bob"), approval_handler=edits, runtime=ListRuntime(journal=journal)).run("x")
    started = next(r for r in journal.records if r.kind == "tool.started")
    assert (started.data["args"], started.data["edited_args"]) == ({"to": "bob"}, {"to": "carol"})
    watched = Watched()
    await agent_with(calling("send", to="bob"), runtime=ListRuntime(journal.records)).run("x", emit=watched)
    assert watched.of(EventKind.TOOL_RESULT)[0]["result"].output == "sent to carol"
    assert ran == ["carol"]


async def test_another_conversation_over_the_same_journal_is_non_determinism_that_names_the_step() -> None:
    journal = ListJournal()
    await agent_with(runtime=ListRuntime(journal=journal)).run("alice's secret plan", user_id="alice")
    with pytest.raises(NonDeterminism, match=r"turn:1/model"):
        await Agent("", model=EchoModel(), runtime=ListRuntime(journal.records)).run("and bob's?", user_id="bob")


async def test_the_usage_of_replayed_steps_is_in_the_result() -> None:
    journal, usage = ListJournal(), Usage(input_tokens=7, output_tokens=2, cost_usd=0.1)
    model = ScriptedModel([ScriptedTurn("a", usage=usage)])
    first = await Agent("", model=model, runtime=ListRuntime(journal=journal)).run("x", session_id="s")
    again = await Agent("", model=ScriptedModel([]), runtime=ListRuntime(journal.records)).run("x", session_id="s")
    assert (again.output, again.tokens_in, again.cost_usd) == (first.output, 7, 0.1)


async def test_an_episode_is_remembered_once_however_often_a_run_is_resumed() -> None:
    journal = ListJournal()
    agent = Agent("", model="echo", runtime=ListRuntime(journal=journal))
    await agent.run("x", user_id="alice")
    resumed = Agent("", model="echo", runtime=ListRuntime(journal.records), memory=agent.memory)
    await resumed.run("x", user_id="alice")
    assert (await agent.memory.profile(user_id="alice")).episode_count == 1
    kinds = [record.kind for record in journal.records]
    assert kinds.count("memory.stored") == 1


async def test_a_runtime_that_runs_steps_itself_is_used_as_it_is() -> None:
    names: list[str] = []

    class Runs(InProcRuntime):
        name = "runs"

        async def step(self, name: str, fn: Any, *args: Any, idempotency_key: str | None = None, **kwargs: Any) -> Any:
            names.append(name)
            return await fn(*args, **kwargs)

        @asynccontextmanager
        async def session(self, session_id: str) -> AsyncIterator[Any]:
            yield object()

    await agent_with(calling("look"), runtime=Runs()).run("x")
    assert names == ["recall", "turn:1/model", "turn:1/tool:call_1", "turn:2/model", "remember"]


async def test_a_tool_of_a_run_sees_the_run_it_is_called_in() -> None:
    seen: list[str | None] = []

    @tool
    async def whose() -> str:
        """Whose?"""
        await anyio.sleep(0.001)
        seen.append(get_run_context().user_id)
        return "ok"

    def turn(messages: Any) -> ScriptedTurn:
        last = messages[-1]
        return ScriptedTurn("ok") if last.role == "tool" else calling("whose", "whose")

    agent = Agent("", model=ScriptedModel([turn] * 20), tools=[whose])
    async with anyio.create_task_group() as group:
        for n in range(5):
            group.start_soon(lambda n=n: agent.run("x", user_id=f"u{n}"))
    assert sorted(seen, key=str) == [f"u{n}" for n in range(5) for _ in range(2)]
