"""The scenarios on loomflow, by the public contract that it shares with Loom."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

from harness import ANSWER, INSTRUCTIONS, STEPS, Ask, repeat, scenarios_of, serve
from loomflow import Agent, EchoModel, Role, ToolCall, Usage, Workflow, tool
from loomflow.model import OpenAIModel


@tool
async def weather(city: str) -> str:
    """How the weather is in a city."""
    return f"sunny in {city}"


class Calling:
    name = "calling"

    def __init__(self, count: int) -> None:
        self._count = count

    async def complete(self, messages: list[Any], **options: Any) -> Any:
        if messages[-1].role == Role.TOOL:
            return ANSWER, [], Usage(), "stop"
        calls = [ToolCall(id=f"call_{n}", tool="weather", args={"city": "Paris"}) for n in range(self._count)]
        return "", calls, Usage(), "tool_use"

    def stream(self, messages: list[Any], **options: Any) -> AsyncIterator[Any]:
        raise NotImplementedError


def ask_of(agent: Agent) -> Ask:
    async def ask(prompt: str) -> str:
        return str((await agent.run(prompt, user_id="ann")).output)

    return ask


def agent(calls: int) -> Ask:
    return ask_of(Agent(INSTRUCTIONS, model=Calling(calls) if calls else EchoModel(), tools=[weather] if calls else []))


def over_http() -> Ask:
    model = OpenAIModel("gpt-4o", api_key="none", base_url=os.environ["BENCH_OPENAI_URL"])
    return ask_of(Agent(INSTRUCTIONS, model=model, tools=[weather]))


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


ECHO = EchoModel()

if __name__ == "__main__":
    table = scenarios_of(
        construct=lambda: Agent(INSTRUCTIONS, model=ECHO, tools=[weather]), agent=agent, over_http=over_http
    )
    serve({**table, "workflow_step": workflow_step})
