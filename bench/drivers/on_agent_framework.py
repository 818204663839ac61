"""The scenarios on Microsoft's Agent Framework, with a chat client of our own."""

from __future__ import annotations

import os
from typing import Any

from agent_framework import Agent, BaseChatClient, ChatResponse, Content, FunctionInvocationLayer, Message, tool
from agent_framework.openai import OpenAIChatCompletionClient
from harness import ANSWER, INSTRUCTIONS, Ask, scenarios_of, serve


@tool(approval_mode="never_require")
async def weather(city: str) -> str:
    """How the weather is in a city."""
    return f"sunny in {city}"


class Fake(FunctionInvocationLayer, BaseChatClient):
    def __init__(self, calls: int) -> None:
        super().__init__()
        self._calls = calls

    def _inner_get_response(self, *, messages: Any, stream: bool, options: Any, **kwargs: Any) -> Any:
        return self._answer(messages)

    async def _answer(self, messages: Any) -> ChatResponse:
        last = messages[-1]
        if last.role == "tool":
            contents = [Content.from_text(ANSWER)]
        elif not self._calls:
            contents = [Content.from_text(f"Echo: {last.text}")]
        else:
            contents = [
                Content.from_function_call(call_id=f"call_{n}", name="weather", arguments={"city": "Paris"})
                for n in range(self._calls)
            ]
        return ChatResponse(messages=[Message(role="assistant", contents=contents)])


def made(client: Any, tools: list[Any]) -> Agent:
    return Agent(client, INSTRUCTIONS, tools=tools)


def ask_of(agent: Agent) -> Ask:
    async def ask(prompt: str) -> str:
        return str((await agent.run(prompt)).text)

    return ask


def agent(calls: int) -> Ask:
    return ask_of(made(Fake(calls), [weather] if calls else []))


def over_http() -> Ask:
    client = OpenAIChatCompletionClient("gpt-4o", api_key="none", base_url=os.environ["BENCH_OPENAI_URL"])
    return ask_of(made(client, [weather]))


ECHO = Fake(0)

if __name__ == "__main__":
    serve(scenarios_of(construct=lambda: made(ECHO, [weather]), agent=agent, over_http=over_http))
