"""Workflows: what a graph may be, how a value goes through it, and what nested steps share."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from agents.core.agent import Agent
from agents.core.ambient import Ambient
from agents.core.llm.echo import EchoModel
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.runtime.journal import JournalSession
from agents.core.tools.tool import tool
from agents.core.workflow import END, START, Workflow, WorkflowResult, step
from audit.core.log import InMemoryAuditLog
from audit.core.telemetry import InMemoryTelemetry
from governance.core.retry import RetryPolicy
from loom.context import RunContext, get_run_context
from loom.errors import Invalid, InvalidRequestError, PermissionDenied, ToolError
from loom.events import Event
from loom.messages import Message, ToolCall, Usage
from memory.core.backends.in_memory import InMemoryMemory
from tests.unit.agents.journals import ListJournal


async def double(value: int) -> int:
    return value * 2


def increment(value: int) -> int:
    return value + 1


def upper(value: str) -> str:
    return value.upper()


class Watched:
    def __init__(self) -> None:
        self.events: list[Event] = []

    async def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def kinds(self) -> list[str]:
        return [e.kind.value for e in self.events]


# --- drawing ----------------------------------------------------------------------------------------------------------


async def test_a_value_goes_from_node_to_node_and_no_edge_is_the_end() -> None:
    workflow = Workflow().add_node("a", double).add_node("b", increment).add_edge("a", "b").add_edge(START, "a")
    result = await workflow.run(3)
    assert (result.output, result.visited, result.per_step) == (7, ["a", "b"], {"a": 6, "b": 7})


async def test_an_edge_to_end_ends() -> None:
    workflow = Workflow().add_node("a", double).add_edge("a", END).set_start("a")
    assert (await workflow.run(3)).output == 6


def test_what_makes_no_sense_is_refused_while_it_is_drawn() -> None:
    workflow = Workflow().add_node("a", double).add_node("b", double)
    with pytest.raises(ValueError, match="'a' already"):
        workflow.add_node("a", double)
    with pytest.raises(ValueError, match="no node 'x'"):
        workflow.add_edge("x", "a")
    with pytest.raises(ValueError, match="no node 'x'"):
        workflow.set_start("x")
    with pytest.raises(ValueError, match="no node 'x'"):
        workflow.add_router("x", str, {"a": "a"})
    for source, target in ((START, END), (END, "a"), ("a", START)):
        with pytest.raises(ValueError, match="an edge goes"):
            workflow.add_edge(source, target)
    with pytest.raises(ValueError, match="router goes"):
        workflow.add_router(END, str, {"a": "a"})
    with pytest.raises(ValueError, match="router goes"):
        workflow.add_router("a", str, {"a": START})
    workflow.add_edge("a", "b")
    with pytest.raises(ValueError, match="a way out already"):
        workflow.add_router("a", str, {"b": "b"})
    with pytest.raises(TypeError, match="'n'"):
        workflow.add_node("n", 3)


@pytest.mark.parametrize("cap", ["max_steps", "max_visits_per_node"])
def test_a_cap_is_at_least_one(cap: str) -> None:
    with pytest.raises(ValueError, match=cap):
        Workflow(**{cap: 0})  # type: ignore[arg-type]


async def test_a_workflow_without_a_start_does_not_run() -> None:
    with pytest.raises(RuntimeError, match="no start"):
        await Workflow("w").add_node("a", double).run(1)


async def test_an_edge_to_nowhere_is_found_before_anything_runs() -> None:
    ran: list[int] = []
    for draw in (
        lambda w: w.add_edge("a", "typo"),
        lambda w: w.add_router("a", str, {"x": "typo"}),
        lambda w: w.add_router("a", str, {"x": END}, default="typo"),
    ):
        workflow = draw(Workflow("w").add_node("a", ran.append).set_start("a"))
        with pytest.raises(ValueError, match=r"from 'a' to 'typo'"):
            await workflow.run(1)
    assert ran == []


# --- choosing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [lambda w: w, lambda w: Workflow.parallel([w]), lambda w: w.as_tool()])
async def test_a_nested_graph_that_cannot_run_is_found_before_anything_runs(wrap: Any) -> None:
    done: list[int] = []

    async def note(value: int) -> int:
        done.append(value)
        return value

    broken = Workflow("broken").add_node("a", note).set_start("a").add_edge("a", "nowhere")
    with pytest.raises(ValueError, match="'broken' goes from 'a' to 'nowhere'"):
        await Workflow.chain([note, wrap(broken)]).run(1)
    with pytest.raises(RuntimeError, match="'empty' has no start"):
        await Workflow.chain([note, wrap(Workflow("empty"))]).run(1)
    assert done == []


async def test_a_workflow_may_be_nested_in_itself_if_it_comes_to_an_end() -> None:
    count, again = Workflow("count"), Workflow("again")
    again.add_node("count", count).set_start("count")
    count.add_node("up", increment).add_node("again", again).set_start("up")
    count.add_router("up", lambda value: value < 3, {"True": "again", "False": END})
    assert (await count.run(0)).output == 3


async def test_a_router_goes_where_the_text_of_its_answer_says() -> None:
    async def wait(value: int) -> bool:
        return value > 3

    def made(choose: Any) -> Workflow:
        workflow = Workflow().add_node("a", double).add_node("b", increment).set_start("a")
        return workflow.add_router("a", choose, {"True": "b"}, default=END)

    assert (await made(lambda v: v > 3).run(1)).output == 2
    assert (await made(lambda v: v > 3).run(2)).output == 5
    assert (await made(wait).run(2)).output == 5


async def test_a_router_without_a_way_is_an_error_that_names_the_ways() -> None:
    workflow = Workflow().add_node("a", double).set_start("a").add_router("a", str, {"x": END, "y": END})
    with pytest.raises(RuntimeError, match="no way for '4'; there are x, y"):
        await workflow.run(2)


def cycle(**caps: int) -> Workflow:
    return (
        Workflow("w", **caps)
        .add_node("a", double)
        .add_node("b", double)
        .set_start("a")
        .add_edge("a", "b")
        .add_edge("b", "a")
    )  # type: ignore[arg-type]


async def test_a_cycle_ends_at_either_cap_with_its_name_and_the_node() -> None:
    with pytest.raises(RuntimeError, match="max_steps=3 at 'b'"):
        await cycle(max_steps=3).run(1)
    with pytest.raises(RuntimeError, match="max_visits_per_node=2 at 'a'"):
        await cycle(max_visits_per_node=2).run(1)


async def test_a_cycle_up_to_the_cap_is_fine() -> None:
    workflow = cycle(max_steps=4, max_visits_per_node=2)
    del workflow.edges["b"]
    workflow.add_router("b", lambda v: v < 16, {"True": "a"}, default=END)
    result = await workflow.run(1)
    assert (result.output, result.visited) == (16, ["a", "b", "a", "b"])


async def test_a_router_from_start_names_the_first_node() -> None:
    workflow = Workflow().add_node("a", double).add_node("b", increment)
    workflow.add_router(START, lambda v: "a" if v else "b", {"a": "a", "b": "b"})
    assert [(await workflow.run(value)).output for value in (3, 0)] == [6, 1]


# --- the common shapes ------------------------------------------------------------------------------------------------


async def test_a_chain_names_its_nodes_after_its_steps() -> None:
    chain = Workflow.chain([double, double, increment])
    assert list(chain.nodes) == ["double", "double_1", "increment"]
    assert (await chain.run(1)).output == 5


async def test_a_route_gives_its_handler_the_original_input_of_its_own_run() -> None:
    gate = anyio.Event()

    async def classify(value: str) -> str:
        if value == "u1":
            await gate.wait()
        else:
            gate.set()
        return " billing\n"

    async def billing(value: str) -> str:
        return f"handled {value}"

    workflow = Workflow.route(classify, {"billing": billing})
    outputs: dict[str, Any] = {}

    async def run(who: str) -> None:
        outputs[who] = (await workflow.run(who)).output

    async with anyio.create_task_group() as group:
        for who in ("u1", "u2", "u3"):
            group.start_soon(run, who)
    assert outputs == {who: f"handled {who}" for who in ("u1", "u2", "u3")}


async def test_a_route_has_a_default_or_says_what_is_missing() -> None:
    workflow = Workflow.route(lambda v: "other", {"a": double}, default=increment)
    assert (await workflow.run(1)).output == 2
    with pytest.raises(RuntimeError, match="'other'"):
        await Workflow.route(lambda v: "other", {"a": double}).run(1)


def test_a_route_cannot_be_named_as_another_node_of_it() -> None:
    with pytest.raises(ValueError, match="default"):
        Workflow.route(str, {"default": double}, default=increment)
    with pytest.raises(ValueError, match="classify"):
        Workflow.route(str, {"classify": double})


async def test_parallel_steps_run_at_the_same_time_and_keep_their_order() -> None:
    both = anyio.Event()

    async def waits(value: int) -> str:
        with anyio.fail_after(5):
            await both.wait()
        return "first"

    async def frees(value: int) -> str:
        both.set()
        return "second"

    result = await Workflow.parallel([waits, frees]).run(1)
    assert (result.output, result.visited) == (["first", "second"], ["fan_out"])
    assert (await Workflow.parallel([double, increment], merge=sum).run(3)).output == 10


async def test_parallel_has_a_limit() -> None:
    now, most = 0, 0

    async def count(value: int) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await anyio.sleep(0.001)
        now -= 1

    await Workflow.parallel([count] * 6, concurrency=2).run(1)
    assert most == 2


@pytest.mark.parametrize(
    "make", [lambda: Workflow.chain([]), lambda: Workflow.route(str, {}), lambda: Workflow.parallel([])]
)
def test_nothing_is_no_workflow(make: Any) -> None:
    with pytest.raises(ValueError, match="at least one"):
        make()


def test_parallel_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="concurrency"):
        Workflow.parallel([double], concurrency=0)
    with pytest.raises(TypeError):
        Workflow.parallel([3])


# --- steps ------------------------------------------------------------------------------------------------------------


async def test_a_sync_step_runs_in_a_thread() -> None:
    def where(value: Any) -> bool:
        return threading.current_thread() is threading.main_thread()

    assert (await Workflow.chain([where]).run()).output is False


async def test_an_async_step_may_be_any_object_that_can_be_called() -> None:
    class Call:
        async def __call__(self, value: int) -> int:
            return value + 1

        async def execute(self) -> None:
            raise AssertionError("this is no workflow")

    assert (await Workflow.chain([Call()]).run(1)).output == 2


def test_step_names_async_functions_and_refuses_others() -> None:
    @step(name="fetch")
    async def get(value: int) -> int:
        return value

    @step
    async def put(value: int) -> int:
        return value

    assert list(Workflow.chain([get, put]).nodes) == ["fetch", "put"]
    with pytest.raises(TypeError, match="increment"):
        step(increment)  # type: ignore[arg-type]


async def test_an_agent_is_a_step_and_its_tokens_and_cost_are_summed() -> None:
    usage = Usage(input_tokens=5, cached_input_tokens=1, output_tokens=2, cost_usd=0.5)

    def agent() -> Agent:
        return Agent("", model=ScriptedModel([ScriptedTurn("hi", usage=usage)]))

    inner = Workflow.chain([agent()], name="inner")
    result = await Workflow.parallel([agent(), inner]).run("x")
    assert (result.output, result.total_tokens, result.cost_usd) == (["hi", "hi"], 16, 1.0)
    assert result.usage.output_tokens == 4


async def test_a_typed_answer_of_an_agent_is_the_next_value_and_is_read_as_json() -> None:
    class Found(BaseModel):
        n: int

    finds = Agent("", model=ScriptedModel([ScriptedTurn('{"n": 2}')]), output_schema=Found)
    result = await Workflow.chain([finds, Agent("", model=EchoModel(prefix=""), name="echo")]).run("x")
    assert (result.per_step["agent"], result.output) == (Found(n=2), '{"n":2}')


async def test_a_tool_is_a_step_behind_the_gate() -> None:
    sent: list[str] = []

    @tool(approval=True)
    async def send(to: str) -> str:
        """Send."""
        sent.append(to)
        return "sent"

    @tool
    async def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    with pytest.raises(PermissionDenied, match="send"):
        await Workflow.chain([send]).run("bob")
    assert sent == []
    assert (await Workflow.chain([add]).run({"a": 1, "b": 2})).output == 3
    with pytest.raises(ToolError, match="add"):
        await Workflow.chain([add]).run({"a": "x", "b": 2})


async def test_a_failing_step_is_told_audited_and_raised() -> None:
    def fail(value: Any) -> None:
        raise LookupError("nothing there")

    watched, log = Watched(), InMemoryAuditLog()
    workflow = Workflow.chain([double, fail], name="w", audit_log=log)
    with pytest.raises(LookupError, match="nothing there"):
        await workflow.run(1, emit=watched, user_id="alice")
    assert watched.kinds == [
        "workflow_started",
        *("workflow_step_started", "workflow_step_completed"),
        *("workflow_step_started", "workflow_step_failed"),
    ]
    assert watched.events[-1].payload == {"workflow": "w", "node": "fail", "error": "nothing there"}
    entries = await log.all_entries()
    assert [e.action for e in entries] == ["step_started", "step_completed", "step_started", "step_failed"]
    assert {e.user_id for e in entries} == {"alice"}


async def test_a_failing_parallel_step_surfaces_as_itself() -> None:
    def fail(value: Any) -> None:
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        await Workflow.parallel([fail, double]).run(1)


async def test_the_events_of_a_workflow() -> None:
    events = [event async for event in Workflow.chain([double], name="w").stream(2)]
    assert [(e.kind.value, e.payload) for e in events] == [
        ("workflow_started", {"workflow": "w", "input": 2}),
        ("workflow_step_started", {"workflow": "w", "node": "double"}),
        ("workflow_step_completed", {"workflow": "w", "node": "double", "output": 4}),
        ("workflow_completed", {"workflow": "w", "output": 4}),
    ]


async def test_events_of_nested_runs_say_where_they_happened() -> None:
    watched = Watched()
    inner = Workflow.chain([Agent("", model="echo", name="clerk")], name="inner")
    await Workflow.chain([inner]).run("x", emit=watched)
    assert {e.worker for e in watched.events} == {"", "step:inner#1", "step:inner#1/step:clerk#1"}
    assert all(e.worker == "step:inner#1/step:clerk#1" for e in watched.events if e.kind.value == "model_chunk")


async def test_breaking_out_of_a_stream_cleans_up() -> None:
    ended = anyio.Event()

    async def wait(value: Any) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    async for _ in Workflow.chain([wait]).stream("x", user_id="alice"):
        await anyio.sleep(0.005)
        break
    with anyio.fail_after(5):
        await ended.wait()
    assert get_run_context() == RunContext()


async def test_steps_are_traced() -> None:
    telemetry = InMemoryTelemetry()
    await Workflow.chain([double], name="w", telemetry=telemetry).run(1, user_id="alice")
    [span] = telemetry.spans()
    assert (span.name, span.attributes["step"], span.attributes["user_id"]) == ("loom.workflow.step", "double", "alice")


# --- trying again -----------------------------------------------------------------------------------------------------

SOON = RetryPolicy(max_attempts=3, initial_delay_s=0, jitter=0)


def failing(times: int, error: Exception) -> Any:
    left = [error] * times

    async def shaky(value: int) -> int:
        if left:
            raise left.pop()
        return value

    return shaky


@pytest.mark.parametrize("error", [OSError("down"), ToolError("failed")])
async def test_a_step_is_tried_again_as_its_policy_says(error: Exception) -> None:
    assert (await Workflow().add_node("a", failing(2, error), retry=SOON).set_start("a").run(1)).output == 1
    with pytest.raises(type(error)):
        await Workflow().add_node("a", failing(3, error), retry=SOON).set_start("a").run(1)


async def test_an_error_that_will_not_pass_is_not_tried_again() -> None:
    shaky = failing(1, InvalidRequestError("no such model"))
    with pytest.raises(InvalidRequestError):
        await Workflow().add_node("a", shaky, retry=SOON).set_start("a").run(1)


async def test_a_timeout_bounds_each_try_also_of_a_step_in_a_thread() -> None:
    free, tries = threading.Event(), list[int]()

    def block(value: int) -> int:
        tries.append(value)
        if len(tries) < 2:
            free.wait(10)
        return value

    try:
        with anyio.fail_after(5):
            workflow = Workflow().add_node("a", block, timeout=0.05, retry=SOON).set_start("a")
            assert (await workflow.run(1)).output == 1
        with pytest.raises(ToolError, match=r"'a' did not finish within 0.01 s"):
            await Workflow().add_node("a", anyio.sleep, timeout=0.01).set_start("a").run(5)
    finally:
        free.set()


# --- state ------------------------------------------------------------------------------------------------------------


class Case(BaseModel):
    mail: str
    size: int = 0


async def test_a_mapping_or_a_model_updates_the_state_and_is_checked() -> None:
    class Size(BaseModel):
        size: int

    def measure(case: Case) -> dict[str, int]:
        return {"size": len(case.mail)}

    def grow(case: Case) -> Size:
        return Size(size=case.size + 1)

    result = await Workflow.chain([measure, grow], state=Case).run({"mail": "help"})
    assert result.output == Case(mail="help", size=5)


async def test_what_does_not_fit_the_state_is_refused_by_the_name_of_its_step() -> None:
    watched = Watched()
    workflow = Workflow.chain([lambda case: {"size": "big"}], state=Case)
    with pytest.raises(Invalid, match=r"step '<lambda>' does not fit Case"):
        await workflow.run({"mail": "x"}, emit=watched)
    assert watched.kinds[-1] == "workflow_step_failed"
    with pytest.raises(Invalid, match="the input does not fit Case"):
        await workflow.run({})


# --- what nested steps share ------------------------------------------------------------------------------------------


def noting(seen: list[Any]) -> Any:
    async def note(value: Any) -> Any:
        seen.append(get_run_context())
        return value

    return note


async def test_a_nested_workflow_keeps_the_user_the_session_and_the_memory() -> None:
    seen: list[RunContext] = []
    memory = InMemoryMemory()
    inner = Workflow.chain([noting(seen), Agent("", model="echo")], name="inner")
    await Workflow.chain([inner], memory=memory).run("x", user_id="alice", session_id="s", metadata={"a": 1})
    assert [(c.user_id, c.session_id, dict(c.metadata)) for c in seen] == [("alice", "s", {"a": 1})]
    assert (await memory.profile(user_id="alice")).episode_count == 1


async def test_the_nearest_memory_counts() -> None:
    outer, inner, own = InMemoryMemory(), InMemoryMemory(), InMemoryMemory()
    agent = Agent("", model="echo", name="mine", memory=own)
    nested = Workflow.chain([Agent("", model="echo"), agent], name="nested", memory=inner)
    await Workflow.chain([nested], memory=outer).run("x", user_id="alice")
    assert [(await m.profile(user_id="alice")).episode_count for m in (outer, inner, own)] == [0, 1, 1]


async def test_agents_without_a_tone_take_on_the_workflows() -> None:
    heard: list[str] = []

    class Hears(EchoModel):
        async def complete(self, messages: list[Message], **options: Any) -> Any:
            heard.append(messages[0].content)
            return await super().complete(messages, **options)

    plain, own = Agent("Help.", model=Hears()), Agent("Help.", model=Hears(), name="own", response_tone="like a judge")
    await Workflow.chain([plain, own], response_tone="like a pirate").run("x")
    assert "pirate" in heard[0]
    assert "judge" in heard[1]
    assert "pirate" not in heard[1]


async def test_agents_of_a_workflow_share_one_workspace() -> None:
    note = ScriptedTurn(tool_calls=[ToolCall(tool="note", args={"title": "Plan", "body": "the plan is tea"})])
    reads: list[str] = []

    def search(messages: list[Message]) -> ScriptedTurn:
        return ScriptedTurn(tool_calls=[ToolCall(tool="list_notes", args={})])

    def listen(messages: list[Message]) -> ScriptedTurn:
        reads.extend(m.content for m in messages if m.role == "tool")
        return ScriptedTurn("read")

    writes = Agent("", model=ScriptedModel([note, ScriptedTurn("noted")]), name="writer")
    reader = Agent("", model=ScriptedModel([search, listen]), name="reader")
    await Workflow.chain([writes, reader], workspace="memory").run("x", user_id="alice")
    assert "Plan" in reads[0]


async def test_as_a_tool_a_workflow_runs_for_the_user_who_calls() -> None:
    seen: list[RunContext] = []
    made = Workflow.chain([noting(seen), upper], name="shout").as_tool(description="Shout.", input_arg="text")
    assert (made.name, made.description, made.input_schema["required"]) == ("shout", "Shout.", ["text"])
    model = ScriptedModel([ScriptedTurn(tool_calls=[ToolCall(tool="shout", args={"text": "hi"})]), ScriptedTurn("ok")])
    await Agent("", model=model, tools=[made]).run("x", user_id="alice", session_id="s", metadata={"a": 1})
    assert [(c.user_id, dict(c.metadata)) for c in seen] == [("alice", {"a": 1})]
    assert seen[0].session_id != "s"
    assert await made.execute({"text": "hi"}) == "HI"


# --- journaled --------------------------------------------------------------------------------------------------------


async def run_journaled(workflow: Workflow, input: Any, recorded: Any = ()) -> tuple[WorkflowResult, ListJournal]:
    journal = ListJournal()
    ambient = Ambient(RunContext("alice", "s", "run_1"), runtime=JournalSession("s", journal, recorded))
    return await workflow.execute(input, ambient), journal


async def test_step_names_are_unique_also_in_cycles_and_for_functions_with_names_of_kinds() -> None:
    async def model(value: int) -> int:
        return value + 1

    async def recall(value: int) -> int:
        return value * 10

    both = Workflow.parallel([model, recall, model], name="both", merge=sum)
    workflow = (
        Workflow()
        .add_node("both", both)
        .set_start("both")
        .add_router("both", lambda v: v < 99, {"True": "both"}, default=END)
    )
    result, journal = await run_journaled(workflow, 1)
    keys = [key for kind, key in journal.steps if kind.endswith("completed")]
    assert len(keys) == len(set(keys)) == 8
    assert {key for key in keys if key.startswith("choice:")} == {"choice:both#1", "choice:both#2"}
    assert {kind for kind, _ in journal.steps} == {"architecture.step.started", "architecture.step.completed"}
    again, later = await run_journaled(workflow, 1, journal.records)
    assert (again.output, later.texts) == (result.output, [])


async def test_a_model_that_a_step_returns_is_that_model_for_the_next_one_also_in_a_replay() -> None:
    kinds: list[str] = []

    async def make(value: str) -> Case:
        return Case(mail=value)

    def take(case: Case) -> int:
        kinds.append(type(case).__name__)
        return len(case.mail)

    workflow = Workflow.chain([step(make), take])
    result, journal = await run_journaled(workflow, "help")
    again, _ = await run_journaled(workflow, "help", journal.records[:3])
    assert (result.output, again.output, kinds) == (4, 4, ["Case", "Case"])
