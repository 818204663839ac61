"""The scenarios on the OpenAI Agents SDK, with a model of our own and its tracing off."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

# isort: off
from agents import (
    Agent,
    ModelResponse,
    ModelSettings,
    OpenAIChatCompletionsModel,
    Runner,
    Usage,
    function_tool,
    set_tracing_disabled,
)
from agents.models.interface import Model
from harness import ANSWER, INSTRUCTIONS, Ask, scenarios_of, serve
from openai import AsyncOpenAI
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

# isort: on

set_tracing_disabled(True)


@function_tool
async def weather(city: str) -> str:
    """How the weather is in a city."""
    return f"sunny in {city}"


class Fake(Model):
    def __init__(self, calls: int) -> None:
        self._calls = calls

    async def get_response(self, system_instructions: Any, input: Any, *args: Any, **kwargs: Any) -> ModelResponse:
        last = input if isinstance(input, str) else input[-1]
        output: list[Any]
        if isinstance(last, dict) and last.get("type") == "function_call_output":
            output = [_says(ANSWER)]
        elif not self._calls:
            output = [_says(f"Echo: {last if isinstance(last, str) else last['content']}")]
        else:
            output = [
                ResponseFunctionToolCall(
                    type="function_call", call_id=f"call_{n}", name="weather", arguments='{"city": "Paris"}'
                )
                for n in range(self._calls)
            ]
        return ModelResponse(output=output, usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        raise NotImplementedError


def _says(text: str) -> ResponseOutputMessage:
    content = [ResponseOutputText(type="output_text", text=text, annotations=[])]
    return ResponseOutputMessage(id="m", type="message", role="assistant", status="completed", content=content)


ECHO = Fake(0)


def made(model: Model, tools: list[Any]) -> Agent:
    return Agent(name="agent", instructions=INSTRUCTIONS, model=model, tools=tools, model_settings=ModelSettings())


def ask_of(agent: Agent) -> Ask:
    async def ask(prompt: str) -> str:
        return str((await Runner.run(agent, prompt)).final_output)

    return ask


def agent(calls: int) -> Ask:
    return ask_of(made(Fake(calls), [weather] if calls else []))


def over_http() -> Ask:
    client = AsyncOpenAI(api_key="none", base_url=os.environ["BENCH_OPENAI_URL"])
    return ask_of(made(OpenAIChatCompletionsModel("gpt-4o", client), [weather]))


if __name__ == "__main__":
    serve(scenarios_of(construct=lambda: made(ECHO, [weather]), agent=agent, over_http=over_http))
