"""Spans and metrics, wherever they go."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from audit.core.telemetry import (
    ConsoleTelemetry,
    FileTelemetry,
    InMemoryTelemetry,
    MultiTelemetry,
    NoTelemetry,
    OTelTelemetry,
    agent_span,
    observe_model,
    observe_tool,
    resolve_telemetry,
)
from loom.context import RunContext
from loom.errors import ConfigError
from loom.messages import ToolCall, ToolResult, Usage

ANN = RunContext(user_id="ann", session_id="sess_1", run_id="run_1")


class Reply:
    usage = Usage(input_tokens=10, cached_input_tokens=5, output_tokens=7, cost_usd=0.25)
    finish_reason = "stop"


async def answer() -> Reply:
    return Reply()


async def test_spans_nest_and_end_in_order() -> None:
    telemetry = InMemoryTelemetry()

    async with telemetry.trace("loom.run", session_id="s", model=None), telemetry.trace("loom.turn", turn=1) as inner:
        inner.attributes["tools"] = 2

    turn, run = telemetry.spans()
    assert (turn.name, run.name) == ("loom.turn", "loom.run")
    assert turn.parent_span_id == run.span_id
    assert turn.trace_id == run.trace_id
    assert run.parent_span_id is None
    assert run.attributes == {"session_id": "s"}
    assert turn.attributes == {"turn": 1, "tools": 2}
    assert 0 <= turn.duration_ms <= run.duration_ms


async def test_spans_of_tasks_at_once_have_their_own_parents() -> None:
    telemetry = InMemoryTelemetry()

    async def work(name: str) -> None:
        async with telemetry.trace(name):
            await anyio.lowlevel.checkpoint()
            async with telemetry.trace(f"{name}.inner"):
                await anyio.lowlevel.checkpoint()

    async with telemetry.trace("run"), anyio.create_task_group() as group:
        group.start_soon(work, "a")
        group.start_soon(work, "b")

    ids = {span.span_id: span.name for span in telemetry.spans()}
    parents = {span.name: ids.get(span.parent_span_id or "") for span in telemetry.spans()}
    assert parents == {"run": None, "a": "run", "b": "run", "a.inner": "a", "b.inner": "b"}


async def test_an_error_is_kept_without_its_secrets_and_goes_on() -> None:
    telemetry = InMemoryTelemetry()

    with pytest.raises(ValueError, match="sk-"):
        async with telemetry.trace("loom.tool"):
            raise ValueError("bad key sk-abcdefCANARY0123456789")

    assert telemetry.spans()[0].exception == "ValueError: bad key [REDACTED]"


async def test_secrets_do_not_get_into_attributes() -> None:
    telemetry = InMemoryTelemetry()

    async with telemetry.trace("loom.tool", url="https://x?api_key=CANARYkey") as span:
        span.attributes["args"] = {"password": "CANARYpw"}

    assert "CANARY" not in str(telemetry.spans())


async def test_two_memories_at_once_do_not_mix_their_spans() -> None:
    one, other = InMemoryTelemetry(), InMemoryTelemetry()

    async with one.trace("a"), other.trace("b"):
        pass

    assert other.spans()[0].parent_span_id is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("loom.tool.duration_ms", "histogram"),
        ("loom.wait_seconds", "histogram"),
        ("loom.body_bytes", "histogram"),
        ("loom.tokens.input", "counter"),
        ("loom.cost.usd", "counter"),
    ],
)
async def test_the_name_of_a_metric_says_its_kind(name: str, kind: str) -> None:
    telemetry = InMemoryTelemetry()

    await telemetry.emit_metric(name, 1.5, model="m", reason=None)

    (metric,) = telemetry.metrics()
    assert (metric.instrument_kind, metric.value, metric.attributes) == (kind, 1.5, {"model": "m"})


async def test_no_id_of_a_session_a_run_or_a_user_becomes_a_label() -> None:
    telemetry = InMemoryTelemetry()

    for n in range(300):
        context = RunContext(user_id=f"u{n}", session_id=f"s{n}", run_id=f"r{n}")
        await observe_model(telemetry, "gpt-5", context, answer)
        call = ToolCall(tool="search")
        await observe_tool(telemetry, call, context, lambda call=call: result(ToolResult.success(call.id, "x")))
        await telemetry.emit_metric("loom.session.duration_ms", n, session_id=f"s{n}", user_id=f"u{n}", agent="clerk")

    series = {(metric.name, json.dumps(metric.attributes, sort_keys=True)) for metric in telemetry.metrics()}
    assert len(series) == len({metric.name for metric in telemetry.metrics()}) == 7


async def result(value: ToolResult) -> ToolResult:
    return value


async def test_spans_say_whose_work_it_is_and_what_it_cost() -> None:
    telemetry = InMemoryTelemetry()

    async with agent_span(telemetry, "clerk", "gpt-5", ANN, max_turns=50):
        await observe_model(telemetry, "gpt-5", ANN, answer)

    chat, run = telemetry.spans()
    assert run.attributes["user_id"] == chat.attributes["user_id"] == "ann"
    assert run.attributes["run_id"] == chat.attributes["run_id"] == "run_1"
    assert (chat.name, chat.attributes["tokens_in"], chat.attributes["tokens_out"]) == ("loom.model.complete", 15, 7)
    values = {metric.name: metric.value for metric in telemetry.metrics()}
    assert (values["loom.tokens.input"], values["loom.tokens.output"], values["loom.cost.usd"]) == (15, 7, 0.25)


async def test_all_workers_of_a_run_write_one_trace() -> None:
    first, second = InMemoryTelemetry(), InMemoryTelemetry()

    for telemetry in (first, second):
        async with agent_span(telemetry, "clerk", "gpt-5", ANN):
            pass

    assert first.spans()[0].trace_id == second.spans()[0].trace_id
    assert first.spans()[0].span_id != second.spans()[0].span_id


async def test_a_model_that_fails_is_timed_too() -> None:
    telemetry = InMemoryTelemetry()

    async def fail() -> Reply:
        raise RuntimeError("down")

    with pytest.raises(RuntimeError):
        await observe_model(telemetry, "gpt-5", ANN, fail)

    assert telemetry.metrics()[0].attributes == {"model": "gpt-5", "error_type": "RuntimeError"}
    assert telemetry.spans()[0].exception == "RuntimeError: down"


async def test_a_tool_that_fails_marks_its_span_and_one_that_is_refused_does_not() -> None:
    telemetry = InMemoryTelemetry()
    call = ToolCall(tool="search")

    await observe_tool(telemetry, call, ANN, lambda: result(ToolResult.error_(call.id, "boom")))
    await observe_tool(telemetry, call, ANN, lambda: result(ToolResult.denied_(call.id, "no")))

    failed, refused = telemetry.spans()
    assert failed.attributes["error_type"] == "tool_error"
    assert "error_type" not in refused.attributes


async def test_the_console_shows_a_line_for_each_span_and_metric() -> None:
    stream = io.StringIO()
    telemetry = ConsoleTelemetry(stream=stream)

    async with telemetry.trace("loom.run", session_id="s\nforged line"):
        pass
    await telemetry.emit_metric("loom.tokens.input", 3, model="m")

    first, second = stream.getvalue().splitlines()
    assert first.startswith("span   loom.run")
    assert "session_id=s\\nforged line" in first
    assert second == "metric loom.tokens.input  3  model=m"


async def test_the_console_can_leave_metrics_out() -> None:
    stream = io.StringIO()

    await ConsoleTelemetry(stream=stream, show_metrics=False).emit_metric("loom.tokens.input", 3)

    assert stream.getvalue() == ""


async def test_a_file_has_a_json_line_for_each_span_and_metric(tmp_path: Path) -> None:
    telemetry = FileTelemetry(tmp_path / "deep" / "spans.jsonl")

    async with telemetry.trace("loom.run", session_id="s"):
        await telemetry.emit_metric("loom.tokens.input", 3)
    telemetry.close()

    metric, span = [json.loads(line) for line in telemetry.path.read_text().splitlines()]
    assert (metric["type"], metric["name"], metric["value"]) == ("metric", "loom.tokens.input", 3)
    assert (span["type"], span["name"], span["attributes"]) == ("span", "loom.run", {"session_id": "s"})


class Broken(NoTelemetry):
    async def emit_metric(self, name: str, value: float, **attrs: Any) -> None:
        raise OSError("collector down")


async def test_several_sinks_see_the_same() -> None:
    one, other = InMemoryTelemetry(), InMemoryTelemetry()
    telemetry = MultiTelemetry([one, Broken(), other])

    async with telemetry.trace("loom.run", session_id="s") as span:
        span.attributes["late"] = True
    with pytest.raises(OSError, match="collector down"):
        await telemetry.emit_metric("loom.tokens.input", 3)

    for sink in (one, other):
        assert sink.spans()[0].attributes == {"session_id": "s", "late": True}
        assert sink.metrics()[0].value == 3


def test_several_sinks_need_one() -> None:
    with pytest.raises(ValueError, match="at least one"):
        MultiTelemetry([])


def test_telemetry_is_made_of_words_and_mappings(tmp_path: Path) -> None:
    memory = InMemoryTelemetry()

    assert isinstance(resolve_telemetry(None), NoTelemetry)
    assert isinstance(resolve_telemetry("none"), NoTelemetry)
    assert isinstance(resolve_telemetry("memory"), InMemoryTelemetry)
    assert isinstance(resolve_telemetry("console"), ConsoleTelemetry)
    assert isinstance(resolve_telemetry("otel"), OTelTelemetry)
    file = resolve_telemetry(f"file:{tmp_path}/a:b.jsonl")
    assert isinstance(file, FileTelemetry)
    assert file.path == tmp_path / "a:b.jsonl"
    assert isinstance(resolve_telemetry({"backend": "file", "path": tmp_path / "a"}), FileTelemetry)
    assert isinstance(resolve_telemetry({"type": "otel", "instrumentation_name": "x"}), OTelTelemetry)
    assert resolve_telemetry(memory) is memory


@pytest.mark.parametrize(
    "spec", ["zipkin", "file", "console:x", {}, {"backend": "otel", "name": "x"}, {"name": "console", "color": 1}, 7]
)
def test_telemetry_that_does_not_exist_is_refused(spec: Any) -> None:
    with pytest.raises(ConfigError, match="telemetry"):
        resolve_telemetry(spec)
