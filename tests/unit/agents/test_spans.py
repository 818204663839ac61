"""The spans of a run: which there are, how they nest, what they say."""

from __future__ import annotations

from agents.core.agent import Agent
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.tools.tool import tool
from agents.core.workflow import Workflow
from audit.core.telemetry import InMemoryTelemetry
from loom.messages import ToolCall
from memory.core.backends.in_memory import InMemoryMemory
from memory.core.facts import InMemoryFactStore


@tool
async def add(a: int, b: int) -> int:
    """a and b."""
    return a + b


def calculator(telemetry: InMemoryTelemetry) -> Agent:
    call = ScriptedTurn(tool_calls=[ToolCall(tool="add", args={"a": 1, "b": 2})])
    model = ScriptedModel([call, ScriptedTurn("three")])
    return Agent("", name="calculator", model=model, tools=[add], telemetry=telemetry, max_turns=7)


async def test_a_run_holds_its_turns_and_a_turn_its_model_call_and_its_tools() -> None:
    telemetry = InMemoryTelemetry()

    await calculator(telemetry).run("1 + 2?", session_id="s")

    spans = {span.span_id: span for span in telemetry.spans()}
    above = sorted(
        (span.name, spans[span.parent_span_id].name) for span in spans.values() if span.parent_span_id is not None
    )
    assert above == [
        ("loom.model.complete", "loom.turn"),
        ("loom.model.complete", "loom.turn"),
        ("loom.tool", "loom.turn"),
        ("loom.turn", "loom.run"),
        ("loom.turn", "loom.run"),
    ]


async def test_spans_say_which_turn_it_was_and_what_the_run_may_take() -> None:
    telemetry = InMemoryTelemetry()

    await calculator(telemetry).run("1 + 2?", session_id="s")

    said = {name: [s.attributes for s in telemetry.spans() if s.name == name] for name in ("loom.run", "loom.turn")}
    [run] = said["loom.run"]
    assert (run["max_turns"], run["architecture"], run["session_id"]) == (7, "react", "s")
    assert [(turn["turn"], turn["session_id"]) for turn in said["loom.turn"]] == [(1, "s"), (2, "s")]
    asked = [s.attributes for s in telemetry.spans() if s.name == "loom.model.complete"]
    assert [(each["turn"], each["tool_count"]) for each in asked] == [(1, 1), (2, 1)]
    [called] = [s.attributes for s in telemetry.spans() if s.name == "loom.tool"]
    assert called["turn"] == 1


async def test_a_model_call_that_is_streamed_has_a_span_of_that_name() -> None:
    telemetry = InMemoryTelemetry()

    async for _ in calculator(telemetry).stream("1 + 2?"):
        pass

    names = {span.name for span in telemetry.spans()}
    assert names == {"loom.run", "loom.turn", "loom.model.stream", "loom.tool"}


async def test_the_span_of_a_workflow_step_says_whose_session_it_is() -> None:
    telemetry = InMemoryTelemetry()

    async def double(value: int) -> int:
        return 2 * value

    await Workflow.chain([double], name="w", telemetry=telemetry).run(1, user_id="ann", session_id="s")

    [span] = telemetry.spans()
    assert (span.attributes["session_id"], span.attributes["user_id"]) == ("s", "ann")


async def test_the_reading_of_facts_after_a_run_is_counted_and_timed() -> None:
    telemetry = InMemoryTelemetry()
    memory = InMemoryMemory(fact_store=InMemoryFactStore())
    model = ScriptedModel([ScriptedTurn("hello"), ScriptedTurn("[]")])

    await Agent("", model=model, memory=memory, auto_extract=True, telemetry=telemetry).run("hi", user_id="ann")

    told = {metric.name: metric for metric in telemetry.metrics()}
    assert told["loom.auto_extract.invocations"].attributes["status"] == "ok"
    assert told["loom.auto_extract.duration_ms"].instrument_kind == "histogram"
