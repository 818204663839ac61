"""What the workers of the journeys offer: named in their LOOM_MODULES. Each leaves traces in files, for the tests."""

from __future__ import annotations

import os
from pathlib import Path

import anyio

from loom import (
    Agent,
    EchoModel,
    Message,
    Role,
    ScriptedModel,
    ScriptedTurn,
    ToolCall,
    Usage,
    Workflow,
    get_run_context,
    register,
    tool,
)
from loom.workflow import sleep


async def first(value: dict[str, str]) -> dict[str, str]:
    return _trace(value, "first")


async def slow(value: dict[str, str]) -> dict[str, str]:
    """Takes until the file `go` is there."""
    _trace(value, "slow")
    while not Path(value["folder"], "go").exists():
        await anyio.sleep(0.05)
    return value


async def last(value: dict[str, str]) -> str:
    _trace(value, "last")
    return "all three"


def _trace(value: dict[str, str], step: str) -> dict[str, str]:
    """One write of one line: also two processes at once do not mix."""
    file = os.open(Path(value["folder"], "steps"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{step}\n".encode())
    os.close(file)
    return value


register(Workflow.chain([first, slow, last], name="three-steps"))
register(Workflow.chain([first, sleep("nap", 8), last], name="napper"))


async def second(value: dict[str, str]) -> dict[str, str]:
    return _trace(value, "second")


@tool(effect="keyed")
async def book(folder: str) -> str:
    """Fails while the file `broken` is there."""
    _trace({"folder": folder}, f"book:{get_run_context().idempotency_key}")
    if Path(folder, "broken").exists():
        raise RuntimeError("the airline is closed")
    return "booked"


register(Workflow.chain([first, second, book], name="trip"))


@tool(effect="irreversible")
async def ignite(folder: str) -> str:
    """Fails while the file `broken` is there."""
    _trace({"folder": folder}, "ignite")
    if Path(folder, "broken").exists():
        raise RuntimeError("no spark was seen")
    return "ignited"


register(Workflow.chain([ignite], name="launch"))


@tool(effect="keyed", approval=True)
async def pay(amount: int) -> str:
    """Pay an amount."""
    return f"paid {amount}"


register(Workflow.chain([pay], name="cashier"))


@tool(effect="read")
async def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def _answer(messages: list[Message]) -> ScriptedTurn:
    usage = Usage(input_tokens=120, output_tokens=30, cost_usd=0.0012)
    if messages[-1].role is Role.TOOL:
        return ScriptedTurn(f"The report says: {messages[-1].content}", usage=usage)
    call = ToolCall(id="call_1", tool="weather", args={"city": "Lisbon"})
    return ScriptedTurn("Let me look.", [call], usage)


register(Agent("Say what the weather is.", name="forecaster", model=ScriptedModel([_answer] * 1000), tools=[weather]))


def _loudly(messages: list[Message]) -> ScriptedTurn:
    return ScriptedTurn(f"the report says: {messages[-1].content}".upper())


LOUD = ScriptedModel([_loudly] * 1000)
register(Agent("Say it loudly.", name="loud-forecaster", model=LOUD, tools=[weather]))
register(Agent("Say it slowly.", name="slow-echo", model=EchoModel(chunk_delay_s=0.15)))
register(Agent("Say it at once.", name="quick-echo", model=EchoModel()))


@tool(approval=True, effect="keyed")
async def pay(amount: int) -> str:
    """Pay."""
    key = get_run_context().idempotency_key or "no key"
    file = os.open(Path(os.environ["LOOM_TEST_FOLDER"], "paid"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{amount} {key}\n".encode())
    os.close(file)
    return f"paid {amount}"


def _pay(messages: list[Message]) -> ScriptedTurn:
    if messages[-1].role is Role.TOOL:
        return ScriptedTurn(f"The clerk says: {messages[-1].content}")
    return ScriptedTurn("I pay.", [ToolCall(id="call_1", tool="pay", args={"amount": 5})])


register(Agent("Pay.", name="payer", model=ScriptedModel([_pay] * 10_000), tools=[pay]))


@tool(effect="irreversible")
async def wire(amount: int) -> str:
    """Wire money: it begins, and may not come back to say that it has happened."""
    folder = Path(os.environ["LOOM_TEST_FOLDER"])
    _trace({"folder": str(folder)}, "wired")
    while not (folder / "go").exists():
        await anyio.sleep(0.05)
    return f"wired {amount}"


def _wire(messages: list[Message]) -> ScriptedTurn:
    if messages[-1].role is Role.TOOL:
        return ScriptedTurn(f"The bank says: {messages[-1].content}")
    return ScriptedTurn("I wire.", [ToolCall(id="call_1", tool="wire", args={"amount": 5})])


register(Agent("Wire.", name="wirer", model=ScriptedModel([_wire] * 10_000), tools=[wire]))


def _free(room: str, result: str) -> None:
    _trace({"folder": os.environ["LOOM_TEST_FOLDER"]}, f"freed:{room}:{result}")


@tool(compensate=_free)
async def book(room: str) -> str:
    """Book a room."""
    _trace({"folder": os.environ["LOOM_TEST_FOLDER"]}, f"booked:{room}")
    return "number-1"


@tool(effect="read")
async def ponder() -> str:
    """Think for ever."""
    _trace({"folder": os.environ["LOOM_TEST_FOLDER"]}, "pondering")
    await anyio.sleep_forever()
    return "never"


def _book(messages: list[Message]) -> ScriptedTurn:
    done = sum(message.role is Role.TOOL for message in messages)
    calls = [ToolCall(id="1", tool="book", args={"room": "red"}), ToolCall(id="2", tool="ponder", args={})]
    return ScriptedTurn(tool_calls=[calls[done]]) if done < len(calls) else ScriptedTurn("done")


register(Agent("Book.", name="booker", model=ScriptedModel([_book] * 10_000), tools=[book, ponder]))
