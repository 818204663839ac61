"""Spans and metrics of every step; with `telemetry="otel"` they go to whatever OpenTelemetry exporter is set up.

$ python examples/telemetry.py
loom.run: user ann
  loom.turn
    loom.model.complete
    loom.tool: track
  loom.turn
    loom.model.complete
loom.cost.usd: 0.003
loom.tokens.input: 30
"""

import asyncio
import os
import sys
from collections import Counter

from loom import Agent, ScriptedModel, ScriptedTurn, ToolCall, Usage, tool
from loom.observability import CapturedSpan, InMemoryTelemetry

MODEL = os.environ.get("LOOM_MODEL")
SCRIPT = [
    ScriptedTurn(
        tool_calls=[ToolCall(tool="track", args={"number": "A-17"})], usage=Usage(input_tokens=10, cost_usd=0.001)
    ),
    ScriptedTurn("It is on its way.", usage=Usage(input_tokens=20, output_tokens=5, cost_usd=0.002)),
]


@tool
async def track(number: str) -> str:
    """Where an order is."""
    return "on its way"


async def main(model: str | None = MODEL) -> list[str]:
    # Others: "console", "file:spans.jsonl", OTelTelemetry(tracer_provider=…), MultiTelemetry([one, another]).
    telemetry = InMemoryTelemetry()
    agent = Agent("Help desk.", model=model or ScriptedModel(SCRIPT), tools=[track], telemetry=telemetry)
    await agent.run("Where is A-17?", user_id="ann")

    spans = sorted(telemetry.spans(), key=lambda span: span.started_at)
    show(spans, parent=None, depth=0)
    totals: Counter[str] = Counter()
    for metric in telemetry.metrics():
        totals[metric.name] += metric.value
    for name in ("loom.cost.usd", "loom.tokens.input"):
        print(f"{name}: {totals[name]:g}")
    return [span.name for span in spans]


def show(spans: list[CapturedSpan], *, parent: str | None, depth: int) -> None:
    for span in spans:
        if span.parent_span_id == parent:
            about = span.attributes.get("tool") or (f"user {span.attributes.get('user_id')}" if depth == 0 else "")
            print(f"{'  ' * depth}{span.name}{f': {about}' if about else ''}")
            show(spans, parent=span.span_id, depth=depth + 1)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
