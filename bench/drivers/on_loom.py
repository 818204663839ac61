"""The scenarios on Loom."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from harness import ANSWER, CHAIN, INSTRUCTIONS, PROMPT, STEPS, all_at_once, prompt, repeat, repeat_sync, serve

from agents.core.llm.openai import OpenAIModel
from agents.core.runtime.sqlite import SqliteRuntime
from audit.core.telemetry import InMemoryTelemetry
from governance.core.budget import BudgetConfig
from governance.core.permissions import StandardPermissions
from governance.core.standard_budget import StandardBudget
from loom import Agent, EchoModel, Message, Role, ToolCall, Usage, Workflow, tool
from loom.messages import ModelChunk


@tool
async def weather(city: str) -> str:
    """How the weather is in a city."""
    return f"sunny in {city}"


class Calling:
    """A model that calls the tool some times in its first turn and answers in its second."""

    name = "calling"

    def __init__(self, count: int) -> None:
        self._count = count

    async def complete(self, messages: list[Message], **options: Any) -> Any:
        if messages[-1].role is Role.TOOL:
            return ANSWER, [], Usage(input_tokens=20, output_tokens=10), "stop"
        calls = [ToolCall(id=f"call_{n}", tool="weather", args={"city": "Paris"}) for n in range(self._count)]
        return "", calls, Usage(input_tokens=10, output_tokens=5), "tool_use"

    async def stream(self, messages: list[Message], **options: Any) -> AsyncIterator[ModelChunk]:
        text, calls, usage, reason = await self.complete(messages)
        for call in calls:
            yield ModelChunk(kind="tool_call", tool_call=call)
        yield ModelChunk(kind="finish", text=text, usage=usage, finish_reason=reason)


def echoing(**options: Any) -> Agent:
    return Agent(INSTRUCTIONS, model=EchoModel(), **options)


async def construct(seconds: float) -> float:
    model = EchoModel()
    return repeat_sync(lambda: Agent(INSTRUCTIONS, model=model, tools=[weather]), seconds)


async def bare(seconds: float) -> float:
    agent = echoing()
    return await repeat(lambda: agent.run(PROMPT, user_id="ann"), seconds)


def bare_after(prior: int) -> Any:
    """A run of a user who has had so many before, each with a prompt of its own."""

    async def scenario(seconds: float) -> float:
        agent = echoing()
        number = 0

        async def run() -> None:
            nonlocal number
            number += 1
            await agent.run(prompt(number), user_id="ann")

        for _ in range(prior):
            await run()
        return await repeat(run, 0.0, at_least=max(5, min(200, round(seconds / 0.001))))

    return scenario


async def one_tool(seconds: float) -> float:
    agent = Agent(INSTRUCTIONS, model=Calling(1), tools=[weather])
    return await repeat(lambda: agent.run(PROMPT, user_id="ann"), seconds)


async def tools_8(seconds: float) -> float:
    agent = Agent(INSTRUCTIONS, model=Calling(8), tools=[weather])
    return await repeat(lambda: agent.run(PROMPT, user_id="ann"), seconds)


async def concurrent(seconds: float) -> float:
    agent = echoing()
    return await all_at_once(lambda: agent.run(PROMPT, user_id="ann"), seconds)


def all_layers(effect: Any) -> Any:
    """Permissions, a hook before and after, a budget, telemetry, facts, the audit log and the journal in files.

    The journal is on disk before a call that changes something, and written at the end of the run.
    """
    asked = tool(effect=effect)(weather.fn)

    async def scenario(seconds: float) -> float:
        with tempfile.TemporaryDirectory() as folder:
            telemetry = InMemoryTelemetry()
            runtime = SqliteRuntime(Path(folder) / "journal.db")
            agent = Agent(
                INSTRUCTIONS,
                model=Calling(1),
                tools=[asked],
                memory={"backend": "inmemory"},
                permissions=StandardPermissions(),
                budget=StandardBudget(BudgetConfig(max_tokens=10**12)),
                telemetry=telemetry,
                audit_log=Path(folder) / "audit.jsonl",
                runtime=runtime,
            )

            @agent.before_tool
            async def before(call: ToolCall) -> None:
                return None

            @agent.after_tool
            async def after(call: ToolCall, result: Any) -> None:
                return None

            async def run() -> None:
                await agent.run(PROMPT, user_id="ann")
                telemetry.clear()

            try:
                return await repeat(run, seconds)
            finally:
                await runtime.aclose()

    return scenario


async def workflow_step(seconds: float) -> float:
    async def step(value: int) -> int:
        return value + 1

    workflow = Workflow("steps")
    for number in range(STEPS):
        workflow.add_node(f"step{number}", step)
        if number:
            workflow.add_edge(f"step{number - 1}", f"step{number}")
    workflow.set_start("step0")
    return await repeat(lambda: workflow.run(0), seconds) / STEPS


async def chain(seconds: float) -> float:
    workflow = Workflow.chain([echoing(name=f"agent{number}") for number in range(CHAIN)], name="chain")
    return await repeat(lambda: workflow.run(PROMPT, user_id="ann"), seconds)


async def supervisor(seconds: float) -> float:
    """A supervisor that delegates once to a worker, which answers."""
    from loom.team import Team

    class Delegating(Calling):
        async def complete(self, messages: list[Message], *, tools: Any = None, **options: Any) -> Any:
            if messages[-1].role is Role.TOOL:
                return ANSWER, [], Usage(), "stop"
            args = {"worker": "clerk", "instructions": PROMPT}
            return "", [ToolCall(id="call_1", tool="delegate", args=args)], Usage(), "tool_use"

    worker = echoing(name="clerk")
    team = Team.supervisor(workers={"clerk": worker}, instructions=INSTRUCTIONS, model=Delegating(1))
    result = await team.run(PROMPT)
    if result.output != ANSWER or result.turns < 2:
        raise RuntimeError(f"the supervisor did not delegate: {result.output!r}")
    return await repeat(lambda: team.run(PROMPT), seconds)


async def http(seconds: float) -> float:
    model = OpenAIModel("gpt-4o", api_key="none", base_url=os.environ["BENCH_OPENAI_URL"])
    agent = Agent(INSTRUCTIONS, model=model, tools=[weather])
    result = await agent.run(PROMPT)
    if result.turns != 2:
        raise RuntimeError(f"two turns were expected, not {result.turns}")
    return await repeat(lambda: agent.run(PROMPT, user_id="ann"), seconds)


if __name__ == "__main__":
    serve(
        {
            "construct": construct,
            "bare": bare,
            "bare_after_10": bare_after(10),
            "bare_after_1000": bare_after(1_000),
            "bare_after_10000": bare_after(10_000),
            "tool": one_tool,
            "tools_8": tools_8,
            "concurrent": concurrent,
            "all_layers_reading": all_layers("read"),
            "all_layers_changing": all_layers("keyed"),
            "workflow_step": workflow_step,
            "chain": chain,
            "supervisor": supervisor,
            "http": http,
        }
    )
