"""The scenarios on LangGraph, by the agent that its makers recommend, with a chat model of our own."""

from __future__ import annotations

import os
from typing import Any

from harness import ANSWER, INSTRUCTIONS, STEPS, Ask, repeat, scenarios_of, serve
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph


async def weather(city: str) -> str:
    """How the weather is in a city."""
    return f"sunny in {city}"


class Fake(BaseChatModel):
    calls: int = 0

    @property
    def _llm_type(self) -> str:
        return "fake"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        if isinstance(messages[-1], ToolMessage):
            message = AIMessage(ANSWER)
        elif not self.calls:
            message = AIMessage(f"Echo: {messages[-1].content}")
        else:
            calls = [{"name": "weather", "args": {"city": "Paris"}, "id": f"call_{n}"} for n in range(self.calls)]
            message = AIMessage("", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return self._generate(messages)


ECHO = Fake()


def ask_of(graph: Any) -> Ask:
    async def ask(prompt: str) -> str:
        state = await graph.ainvoke({"messages": [{"role": "user", "content": prompt}]})
        return str(state["messages"][-1].content)

    return ask


def agent(calls: int) -> Ask:
    return ask_of(create_agent(Fake(calls=calls), [weather] if calls else [], system_prompt=INSTRUCTIONS))


def over_http() -> Ask:
    model = ChatOpenAI(model="gpt-4o", api_key="none", base_url=os.environ["BENCH_OPENAI_URL"])  # type: ignore[arg-type]
    return ask_of(create_agent(model, [weather], system_prompt=INSTRUCTIONS))


async def workflow_step(seconds: float) -> float:
    async def step(state: dict[str, int]) -> dict[str, int]:
        return {"value": state["value"] + 1}

    from typing import TypedDict

    graph = StateGraph(TypedDict("State", {"value": int}))  # type: ignore[misc]
    for number in range(STEPS):
        graph.add_node(f"step{number}", step)
        graph.add_edge(f"step{number - 1}" if number else START, f"step{number}")
    graph.add_edge(f"step{STEPS - 1}", END)
    compiled = graph.compile()
    return await repeat(lambda: compiled.ainvoke({"value": 0}), seconds) / STEPS


if __name__ == "__main__":
    table = scenarios_of(
        construct=lambda: create_agent(ECHO, [weather], system_prompt=INSTRUCTIONS), agent=agent, over_http=over_http
    )
    serve({**table, "workflow_step": workflow_step})
