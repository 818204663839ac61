"""OpenTelemetry gets the names of its own conventions."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import context, trace
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from audit.core.telemetry import OTelTelemetry, agent_span, observe_model, observe_tool
from audit.core.telemetry.base import trace_id_of
from audit.core.telemetry.semconv import metric_form, provider_of, span_attributes, span_name
from loom.context import RunContext
from loom.messages import ToolCall, ToolResult, Usage

ANN = RunContext(user_id="ann", session_id="sess_1", run_id="run_1")


class Recorded(NonRecordingSpan):
    """A span that remembers; the SDK of OpenTelemetry is not needed to be instrumented."""

    def __init__(self, name: str, parent: SpanContext, number: int, **given: Any) -> None:
        trace_id = parent.trace_id if parent.is_valid else 1000 + number
        super().__init__(SpanContext(trace_id, number, is_remote=False, trace_flags=TraceFlags(1)))
        self.name, self.parent = name, parent
        self.kind: SpanKind = given["kind"]
        self.links = given["links"]
        self.attributes: dict[str, Any] = dict(given["attributes"])
        self.status: StatusCode | None = None
        self.description: str | None = None
        self.ended = False

    def is_recording(self) -> bool:
        return True

    def set_attribute(self, key: str, value: Any) -> None:
        self.attributes[key] = value

    def set_attributes(self, attributes: Any) -> None:
        self.attributes |= attributes

    def set_status(self, status: Any, description: str | None = None) -> None:
        assert isinstance(status, Status)
        self.status, self.description = status.status_code, status.description

    def end(self, end_time: int | None = None) -> None:
        self.ended = True


class Tracer:
    def __init__(self) -> None:
        self.spans: list[Recorded] = []

    def get_tracer(self, *args: Any, **kwargs: Any) -> Tracer:
        return self

    def start_span(self, name: str, context: Any = None, **given: Any) -> Recorded:
        parent = trace.get_current_span(context).get_span_context()
        self.spans.append(Recorded(name, parent, len(self.spans) + 1, **given))
        return self.spans[-1]


class Meter:
    """A meter that remembers instruments and values."""

    def __init__(self) -> None:
        self.made: dict[str, tuple[str, str]] = {}
        self.values: list[tuple[str, float, dict[str, Any]]] = []

    def get_meter(self, *args: Any, **kwargs: Any) -> Meter:
        return self

    def create_histogram(self, name: str, unit: str, **given: Any) -> Any:
        return self._made(name, "histogram", unit)

    def create_counter(self, name: str, unit: str) -> Any:
        return self._made(name, "counter", unit)

    def _made(self, name: str, kind: str, unit: str) -> Any:
        assert name not in self.made
        self.made[name] = (kind, unit)
        meter = self

        class Instrument:
            def record(self, value: float, attributes: dict[str, Any]) -> None:
                meter.values.append((name, value, attributes))

            add = record

        return Instrument()


class Reply:
    usage = Usage(input_tokens=10, output_tokens=7, cost_usd=0.25)
    finish_reason = "stop"


async def answer() -> Reply:
    return Reply()


@pytest.fixture
def otel(monkeypatch: pytest.MonkeyPatch) -> tuple[OTelTelemetry, Tracer, Meter]:
    monkeypatch.delenv("OTEL_SEMCONV_STABILITY_OPT_IN", raising=False)
    tracer, meter = Tracer(), Meter()
    return OTelTelemetry(tracer_provider=tracer, meter_provider=meter), tracer, meter


async def test_a_run_with_a_model_and_a_tool_has_the_spans_of_the_conventions(otel: Any) -> None:
    telemetry, tracer, _ = otel
    call = ToolCall(tool="search")

    async def found() -> ToolResult:
        return ToolResult.success(call.id, "x")

    async with agent_span(telemetry, "clerk", "gpt-5", ANN):
        await observe_model(telemetry, "gpt-5", ANN, answer)
        await observe_tool(telemetry, call, ANN, found)

    run, chat, tool = tracer.spans
    assert [span.name for span in tracer.spans] == ["invoke_agent clerk", "chat gpt-5", "execute_tool search"]
    assert [span.kind for span in tracer.spans] == [SpanKind.INTERNAL, SpanKind.CLIENT, SpanKind.INTERNAL]
    assert all(span.ended and span.status is None for span in tracer.spans)
    assert chat.parent.span_id == tool.parent.span_id == run.get_span_context().span_id
    assert chat.attributes["gen_ai.operation.name"] == "chat"
    assert chat.attributes["gen_ai.provider.name"] == "openai"
    assert chat.attributes["gen_ai.usage.input_tokens"] == 10
    assert chat.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert run.attributes["gen_ai.conversation.id"] == "sess_1"
    assert run.attributes["gen_ai.provider.name"] == "openai"
    assert tool.attributes["gen_ai.tool.call.id"] == call.id
    assert {span.attributes["loom.user.id"] for span in tracer.spans} == {"ann"}
    assert {span.attributes["loom.run.id"] for span in tracer.spans} == {"run_1"}


async def test_metrics_have_the_names_units_and_labels_of_the_conventions(otel: Any) -> None:
    telemetry, _, meter = otel

    for _ in range(2):
        await observe_model(telemetry, "claude-opus-4-7", ANN, answer)

    assert meter.made["gen_ai.client.token.usage"] == ("histogram", "{token}")
    assert meter.made["gen_ai.client.operation.duration"] == ("histogram", "s")
    usage = [
        (value, labels["gen_ai.token.type"]) for name, value, labels in meter.values if name.endswith("token.usage")
    ]
    assert usage == [(10, "input"), (7, "output")] * 2
    for name, _, labels in meter.values:
        assert not [label for label in labels if label.endswith(("user.id", "run.id", "conversation.id"))]
        if name.startswith("gen_ai"):
            assert labels["gen_ai.provider.name"] == "anthropic"
            assert labels["gen_ai.request.model"] == "claude-opus-4-7"


async def test_a_failure_marks_the_span_and_hides_secrets(otel: Any) -> None:
    telemetry, tracer, _ = otel

    with pytest.raises(RuntimeError):
        async with telemetry.trace("loom.tool", tool="pay"):
            raise RuntimeError("bad key sk-abcdefCANARY0123456789")

    (span,) = tracer.spans
    assert (span.status, span.attributes["error.type"]) == (StatusCode.ERROR, "RuntimeError")
    assert span.description == "RuntimeError: bad key [REDACTED]"


async def test_what_the_work_adds_to_a_span_or_changes_in_it_is_there_at_its_end(otel: Any) -> None:
    telemetry, tracer, _ = otel

    async with telemetry.trace("loom.turn", turn=1, seen=["a"], held="x") as span:
        span.attributes["seen"].append("b")
        span.attributes |= {"held": "y", "args": {"password": "CANARYpw", "n": 1}}

    (ended,) = tracer.spans
    assert ended.attributes == {
        "loom.turn": 1,
        "loom.seen": ["a", "b"],
        "loom.held": "y",
        "loom.args": '{"password": "[REDACTED]", "n": 1}',
    }


async def test_a_span_that_says_itself_that_it_failed_is_marked(otel: Any) -> None:
    telemetry, tracer, _ = otel

    async with telemetry.trace("loom.tool", error_type="early"):
        pass
    async with telemetry.trace("loom.tool") as span:
        span.attributes["error_type"] = "late"

    assert [(span.status, span.description) for span in tracer.spans] == [
        (StatusCode.ERROR, "early"),
        (StatusCode.ERROR, "late"),
    ]


async def test_a_run_is_one_trace_and_remembers_where_it_was_started(otel: Any) -> None:
    telemetry, tracer, _ = otel
    request = SpanContext(77, 7, is_remote=False, trace_flags=TraceFlags(1))
    token = context.attach(trace.set_span_in_context(NonRecordingSpan(request)))

    async with agent_span(telemetry, "clerk", "m", ANN), agent_span(telemetry, "helper", "m", ANN):
        pass
    after = trace.get_current_span().get_span_context()
    context.detach(token)

    outer, inner = tracer.spans
    assert f"{outer.get_span_context().trace_id:032x}" == trace_id_of("run_1")
    assert [link.context for link in outer.links] == [request]
    assert inner.parent.span_id == outer.get_span_context().span_id
    assert not inner.links
    assert after == request


async def test_who_opts_in_gets_the_newer_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http, gen_ai_latest_experimental")
    tracer, meter = Tracer(), Meter()
    telemetry = OTelTelemetry(tracer_provider=tracer, meter_provider=meter)  # type: ignore[arg-type]

    async def cached() -> Reply:
        reply = Reply()
        reply.usage = Usage(input_tokens=10, output_tokens=7, cached_input_tokens=3, cache_write_tokens=2)
        return reply

    async with telemetry.trace("loom.workflow", workflow="intake"), agent_span(telemetry, "clerk", "gpt-5", ANN):
        await observe_model(telemetry, "gpt-5", ANN, cached)

    assert "gen_ai.provider.name" not in tracer.spans[1].attributes
    assert tracer.spans[0].name == "invoke_workflow intake"
    assert tracer.spans[0].attributes["gen_ai.agent.name"] == "intake"
    assert set(meter.made) == {
        "gen_ai.client.inference.duration",
        "gen_ai.client.inference.usage.input_tokens",
        "gen_ai.client.inference.usage.output_tokens",
        "gen_ai.client.inference.usage.cache_read.input_tokens",
        "gen_ai.client.inference.usage.cache_write.input_tokens",
        "loom.cost.usd",
    }


def test_the_two_editions_name_the_same_things_differently() -> None:
    attributes = {"workflow": "intake", "cache_write_tokens": 3}

    assert span_name("loom.workflow", attributes) == "invoke_workflow intake"
    old = span_attributes("loom.workflow", attributes, "v1.41")
    new = span_attributes("loom.workflow", attributes, "v0.1.0")
    assert old["gen_ai.workflow.name"] == new["gen_ai.agent.name"] == "intake"
    assert old["gen_ai.usage.cache_creation.input_tokens"] == new["gen_ai.usage.cache_write.input_tokens"] == 3
    assert metric_form("loom.tool.duration_ms", "v0.1.0").name == "gen_ai.execute_tool.duration"


def test_what_the_conventions_do_not_name_keeps_its_name() -> None:
    assert span_name("loom.turn", {"turn": 1}) == "loom.turn"
    assert span_attributes("loom.turn", {"turn": 1, "custom.name": 2}, "v1.41") == {"loom.turn": 1, "custom.name": 2}
    form = metric_form("loom.queue.wait_ms", "v1.41")
    assert (form.name, form.unit, form.kind) == ("loom.queue.wait_ms", "ms", "histogram")


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-5", "openai"),
        ("o4-mini", "openai"),
        ("claude-opus-4-7", "anthropic"),
        ("litellm/anthropic/claude", "anthropic"),
        ("azure/gpt-5", "azure.ai.openai"),
        ("bedrock/anthropic.claude", "aws.bedrock"),
        ("vertex_ai/gemini-3", "gcp.vertex_ai"),
        ("gemini/gemini-3", "gcp.gemini"),
        ("ollama/llama3", "ollama"),
        ("echo", "echo"),
    ],
)
def test_a_model_names_its_provider(model: str, provider: str) -> None:
    assert provider_of(model) == provider


async def test_without_an_exporter_nothing_happens() -> None:
    telemetry = OTelTelemetry(tracer_provider=trace.NoOpTracerProvider(), meter_provider=NoOpMeterProvider())

    async with agent_span(telemetry, "clerk", "m", ANN) as span:
        assert len(span.trace_id) == 32
    await telemetry.emit_metric("loom.tokens.input", 3, model="m")


# --- read back from OpenTelemetry's own SDK ---------------------------------------------------------------------------


async def test_the_real_sdk_takes_every_span_and_metric_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    monkeypatch.delenv("OTEL_SEMCONV_STABILITY_OPT_IN", raising=False)
    exporter, reader, tracing = InMemorySpanExporter(), InMemoryMetricReader(), TracerProvider()
    tracing.add_span_processor(SimpleSpanProcessor(exporter))
    metering = MeterProvider(metric_readers=[reader])
    telemetry = OTelTelemetry(tracer_provider=tracing, meter_provider=metering)

    async def fails() -> ToolResult:
        raise ValueError("key sk-abcdefghijklmnopqrstuv")

    async with agent_span(telemetry, "clerk", "gpt-5", ANN, architecture="react", max_turns=3):
        await observe_model(telemetry, "gpt-5", ANN, answer, turn=1, tool_count=2)
        with pytest.raises(ValueError, match="key"):
            await observe_tool(telemetry, ToolCall(tool="search"), ANN, fails, turn=1)
    chat, tool, run = exporter.get_finished_spans()
    measured = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics

    assert [span.name for span in (run, chat, tool)] == ["invoke_agent clerk", "chat gpt-5", "execute_tool search"]
    assert {f"{span.context.trace_id:032x}" for span in (run, chat, tool)} == {trace_id_of("run_1")}
    assert chat.parent.span_id == tool.parent.span_id == run.context.span_id
    assert chat.attributes["gen_ai.usage.output_tokens"] == 7
    assert {span.attributes["loom.user.id"] for span in (run, chat, tool)} == {"ann"}
    assert (tool.status.status_code, tool.attributes["error.type"]) == (StatusCode.ERROR, "ValueError")
    assert "sk-abc" not in repr([tool.attributes, tool.status.description, [event.attributes for event in tool.events]])
    assert {"gen_ai.client.operation.duration", "gen_ai.client.token.usage"} <= {metric.name for metric in measured}
    for metric in measured:
        for point in metric.data.data_points:
            assert not {"ann", "sess_1", "run_1"} & {str(value) for value in point.attributes.values()}
    tracing.shutdown()
    metering.shutdown()
