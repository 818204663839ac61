"""The programs whose histories are kept. A model says its lines when a history is recorded; a replay asks nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from agents.core.agent import Agent
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.runtime.engine import Program
from agents.core.tools.tool import tool
from agents.core.workflow.graph import Workflow
from governance.core.retry import RetryPolicy
from loom.messages import ToolCall, Usage
from loom.team import Team

_USAGE = Usage(input_tokens=120, output_tokens=30, cost_usd=0.001)


@dataclass(frozen=True)
class Sample:
    make: Callable[[], Program]
    input: Any
    output_schema: Any = None


class Order(BaseModel):
    item: str
    count: int


def _says(text: str = "", *calls: tuple[str, dict[str, Any]]) -> ScriptedTurn:
    made = [ToolCall(id=f"{name}_{place}", tool=name, args=args) for place, (name, args) in enumerate(calls)]
    return ScriptedTurn(text, made, _USAGE)


@tool(effect="read")
async def search(query: str) -> list[str]:
    """Search the archive."""
    return [f"{query}: page {number}" for number in (1, 2)]


@tool(effect="irreversible")
async def send_mail(to: str, text: str) -> str:
    """Send a mail."""
    return f"sent {len(text)} letters to {to}"


def assistant() -> Agent:
    lines = [
        _says("I look it up.", ("search", {"query": "harbor"}), ("search", {"query": "depth"})),
        _says("", ("send_mail", {"to": "ann@example.com", "text": "It is deep."})),
        _says("I found two pages and wrote to Ann."),
    ]
    return Agent("You answer from the archive.", model=ScriptedModel(lines), tools=[search, send_mail])


def workflow() -> Workflow:
    tries = [0]

    async def split(order: dict[str, Any]) -> dict[str, Any]:
        return {**order, "parts": order["count"] // 2}

    async def stock(order: dict[str, Any]) -> int:
        return int(order["count"]) * 3

    async def price(order: dict[str, Any]) -> float:
        return int(order["parts"]) * 2.5

    async def pay(found: list[Any]) -> dict[str, Any]:
        tries[0] += 1
        if tries[0] == 1:
            raise OSError("the bank is closed")
        return {"stock": found[0], "paid": found[1]}

    once_more = RetryPolicy(max_attempts=2, initial_delay_s=0)
    return (
        Workflow("order")
        .add_node("split", split)
        .add_node("look", Workflow.parallel([stock, price]))
        .add_node("pay", pay, retry=once_more)
        .add_edge("split", "look")
        .add_edge("look", "pay")
        .set_start("split")
    )


def supervisor() -> Any:
    def worker(name: str, text: str) -> Agent:
        return Agent(f"You are {name}.", model=ScriptedModel([_says(text)]), name=name)

    lines = [
        _says("", ("delegate", {"worker": "scout", "instructions": "Find the capital."})),
        _says("", ("delegate", {"worker": "clerk", "instructions": "Write Paris in capitals."})),
        _says("It is PARIS."),
    ]
    workers = {"scout": worker("scout", "Paris."), "clerk": worker("clerk", "PARIS")}
    return Team.supervisor(workers=workers, instructions="You manage.", model=ScriptedModel(lines))


def correction() -> Agent:
    lines = [_says('{"item": "anchor", "count": "several"}'), _says('{"item": "anchor", "count": 3}')]
    return Agent("You take orders.", model=ScriptedModel(lines))


SAMPLES = {
    "assistant": Sample(assistant, "How deep is the harbor?"),
    "workflow": Sample(workflow, {"item": "anchor", "count": 4}),
    "supervisor": Sample(supervisor, "What is the capital of France?"),
    "correction": Sample(correction, "Three anchors, please.", Order),
}
