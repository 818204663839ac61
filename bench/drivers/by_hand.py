"""The floor: what each scenario takes when a person writes the loop out, without framework and promises."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from harness import ANSWER, CHAIN, INSTRUCTIONS, PROMPT, STEPS, all_at_once, repeat, repeat_sync, serve

Messages = list[dict[str, Any]]


async def weather(city: str) -> str:
    return f"sunny in {city}"


def calling(count: int) -> Callable[[Messages], Awaitable[dict[str, Any]]]:
    async def model(messages: Messages) -> dict[str, Any]:
        if messages[-1]["role"] == "tool":
            return {"role": "assistant", "content": ANSWER}
        calls = [{"id": f"call_{n}", "name": "weather", "args": '{"city": "Paris"}'} for n in range(count)]
        return {"role": "assistant", "content": "", "tool_calls": calls}

    return model


async def echo(messages: Messages) -> dict[str, Any]:
    return {"role": "assistant", "content": f"Echo: {messages[-1]['content']}"}


async def agent(prompt: str, model: Callable[[Messages], Awaitable[dict[str, Any]]]) -> str:
    messages: Messages = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": prompt}]
    while True:
        reply = await model(messages)
        messages.append(reply)
        calls = reply.get("tool_calls")
        if not calls:
            return str(reply["content"])
        results = await asyncio.gather(*(weather(**json.loads(call["args"])) for call in calls))
        for call, result in zip(calls, results, strict=True):
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})


async def bare(seconds: float) -> float:
    return await repeat(lambda: agent(PROMPT, echo), seconds)


async def tool(seconds: float) -> float:
    model = calling(1)
    return await repeat(lambda: agent(PROMPT, model), seconds)


async def tools_8(seconds: float) -> float:
    model = calling(8)
    return await repeat(lambda: agent(PROMPT, model), seconds)


def all_layers(*, changing: bool) -> Any:
    """The tool loop with what must be written: lines in a file, a commit at the end, and one that waits for the disk
    before a tool that changes something."""
    model = calling(1)

    async def scenario(seconds: float) -> float:
        with tempfile.TemporaryDirectory() as folder:
            connection = sqlite3.connect(Path(folder) / "journal.db", isolation_level=None)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE journal (record TEXT)")
            log = os.open(Path(folder) / "audit.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

            def write(record: dict[str, Any]) -> None:
                line = json.dumps(record)
                os.write(log, line.encode() + b"\n")
                if not connection.in_transaction:
                    waits = changing and "tool_calls" in record
                    connection.execute(f"PRAGMA synchronous={'FULL' if waits else 'NORMAL'}")
                    connection.execute("BEGIN")
                connection.execute("INSERT INTO journal VALUES (?)", (line,))

            async def journaled(messages: Messages) -> dict[str, Any]:
                reply = await model(messages)
                write(reply)
                if changing or not reply.get("tool_calls"):
                    connection.execute("COMMIT")
                return reply

            try:
                return await repeat(lambda: agent(PROMPT, journaled), seconds)
            finally:
                connection.close()
                os.close(log)

    return scenario


async def concurrent(seconds: float) -> float:
    return await all_at_once(lambda: agent(PROMPT, echo), seconds)


async def chain(seconds: float) -> float:
    async def ten() -> str:
        text = PROMPT
        for _ in range(CHAIN):
            text = await agent(text, echo)
        return text

    return await repeat(ten, seconds)


async def workflow_step(seconds: float) -> float:
    async def step(value: int) -> int:
        return value + 1

    async def steps() -> int:
        value = 0
        for _ in range(STEPS):
            value = await step(value)
        return value

    return await repeat(steps, seconds) / STEPS


class _Agent:
    def __init__(self, **options: Any) -> None:
        self.__dict__.update(options)


async def construct(seconds: float) -> float:
    return repeat_sync(lambda: _Agent(instructions=INSTRUCTIONS, model=echo, tools={"weather": weather}), seconds)


async def http(seconds: float) -> float:
    """Two calls of the raw client and a tool between them."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key="none", base_url=os.environ["BENCH_OPENAI_URL"])
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools: Any = [{"type": "function", "function": {"name": "weather", "description": "", "parameters": schema}}]

    async def run() -> str:
        messages: Any = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": PROMPT}]
        while True:
            answer = await client.chat.completions.create(model="gpt-4o", messages=messages, tools=tools)
            message = answer.choices[0].message
            if not message.tool_calls:
                return message.content or ""
            messages.append(message.model_dump(exclude_none=True))
            for call in message.tool_calls:
                result = await weather(**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})

    try:
        return await repeat(run, seconds)
    finally:
        await client.close()


if __name__ == "__main__":
    serve(
        {
            "construct": construct,
            "bare": bare,
            "tool": tool,
            "tools_8": tools_8,
            "all_layers_reading": all_layers(changing=False),
            "all_layers_changing": all_layers(changing=True),
            "concurrent": concurrent,
            "workflow_step": workflow_step,
            "chain": chain,
            "http": http,
        }
    )
