"""The scenarios on pydantic-ai, with its FunctionModel."""

from __future__ import annotations

import os

from harness import ANSWER, INSTRUCTIONS, Ask, scenarios_of, serve
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


async def weather(city: str) -> str:
    """How the weather is in a city."""
    return f"sunny in {city}"


def model(calls: int) -> FunctionModel:
    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        last = messages[-1].parts[-1]
        if isinstance(last, ToolReturnPart):
            return ModelResponse(parts=[TextPart(ANSWER)])
        if not calls:
            return ModelResponse(parts=[TextPart(f"Echo: {last.content}")])  # type: ignore[union-attr]
        return ModelResponse(parts=[ToolCallPart("weather", {"city": "Paris"}, f"call_{n}") for n in range(calls)])

    return FunctionModel(answer)


ECHO = model(0)


def ask_of(agent: Agent) -> Ask:
    async def ask(prompt: str) -> str:
        return (await agent.run(prompt)).output

    return ask


def agent(calls: int) -> Ask:
    return ask_of(Agent(model(calls), instructions=INSTRUCTIONS, tools=[weather] if calls else []))


def over_http() -> Ask:
    provider = OpenAIProvider(api_key="none", base_url=os.environ["BENCH_OPENAI_URL"])
    return ask_of(Agent(OpenAIChatModel("gpt-4o", provider=provider), instructions=INSTRUCTIONS, tools=[weather]))


if __name__ == "__main__":
    serve(
        scenarios_of(
            construct=lambda: Agent(ECHO, instructions=INSTRUCTIONS, tools=[weather]), agent=agent, over_http=over_http
        )
    )
