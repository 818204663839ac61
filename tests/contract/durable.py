"""Durable runtimes of every kind, for tests, and how a second process would get at the same journals."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from agents.core.agent import Agent
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.runtime.journaled import JournaledRuntime
from agents.core.runtime.postgres import PostgresRuntime
from agents.core.runtime.sqlite import SqliteRuntime
from loom.errors import Unavailable
from loom.ids import new_id
from loom.messages import ToolCall

KINDS = ["memory", "sqlite", "postgres"]


class Counted:
    """A step that can be counted."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    async def __call__(self, value: Any) -> Any:
        self.calls.append(value)
        return {"value": value, "call": len(self.calls)}


async def letters(count: int) -> AsyncIterator[str]:
    for letter in "abc"[:count]:
        yield letter


def agent(runtime: Any, *turns: Any, tools: Any = None, **options: Any) -> Agent:
    return Agent(
        "You pay bills.",
        model=ScriptedModel([ScriptedTurn(t) if isinstance(t, str) else t for t in turns]),
        runtime=runtime,
        tools=tools,
        **options,
    )


def calling(name: str, **args: Any) -> ScriptedTurn:
    return ScriptedTurn(tool_calls=[ToolCall(tool=name, args=args)])


def down(messages: Any) -> ScriptedTurn:
    raise Unavailable("the model is down")


def new_schema() -> str:
    """A DSN to an empty place in the session's PostgreSQL server."""
    name = new_id("journals").lower()
    owner = os.environ["DATABASE_OWNER_URL"]
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return make_conninfo(owner, options=f"-c search_path={name}")


def new_place(kind: str, folder: Path) -> str:
    return new_schema() if kind == "postgres" else str(folder / "journals.db")


@asynccontextmanager
async def opened(kind: str, place: str) -> AsyncIterator[JournaledRuntime]:
    """A runtime on that place, as a new process would open it."""
    runtime: JournaledRuntime
    if kind == "memory":
        runtime = JournaledRuntime()
    elif kind == "sqlite":
        runtime = SqliteRuntime(place)
    else:
        runtime = postgres = await PostgresRuntime.connect(place, max_size=4)
        await postgres.init_schema()
    try:
        yield runtime
    finally:
        await runtime.aclose()
