"""The scenarios on Agno, with a model of our own and its telemetry off."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from agno.agent import Agent
from agno.models.base import Model
from agno.models.openai import OpenAIChat
from agno.models.response import ModelResponse
from harness import ANSWER, INSTRUCTIONS, Ask, scenarios_of, serve


async def weather(city: str) -> str:
    """How the weather is in a city."""
    return f"sunny in {city}"


@dataclass
class Fake(Model):
    id: str = "fake"
    calls: int = 0

    def invoke(self, messages: Any, **kwargs: Any) -> ModelResponse:
        last = messages[-1]
        if last.role == "tool":
            return ModelResponse(role="assistant", content=ANSWER)
        if not self.calls:
            return ModelResponse(role="assistant", content=f"Echo: {last.content}")
        call = {"type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
        return ModelResponse(role="assistant", tool_calls=[{**call, "id": f"call_{n}"} for n in range(self.calls)])

    async def ainvoke(self, messages: Any, **kwargs: Any) -> ModelResponse:
        return self.invoke(messages)

    def invoke_stream(self, *args: Any, **kwargs: Any) -> Iterator[ModelResponse]:
        raise NotImplementedError

    def ainvoke_stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ModelResponse]:
        raise NotImplementedError

    def _parse_provider_response(self, response: Any, **kwargs: Any) -> ModelResponse:
        return response  # type: ignore[no-any-return]

    def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
        return response  # type: ignore[no-any-return]


def made(model: Model, tools: list[Any]) -> Agent:
    return Agent(model=model, instructions=INSTRUCTIONS, tools=tools, telemetry=False)


def ask_of(agent: Agent) -> Ask:
    async def ask(prompt: str) -> str:
        return str((await agent.arun(prompt)).content)

    return ask


def agent(calls: int) -> Ask:
    return ask_of(made(Fake(calls=calls), [weather] if calls else []))


def over_http() -> Ask:
    model = OpenAIChat("gpt-4o", api_key="none", base_url=os.environ["BENCH_OPENAI_URL"])
    return ask_of(made(model, [weather]))


ECHO = Fake()

if __name__ == "__main__":
    serve(scenarios_of(construct=lambda: made(ECHO, [weather]), agent=agent, over_http=over_http))
