"""Durable steps on LangGraph with its PostgreSQL checkpointer: one node's turn is one checkpoint on disk."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypedDict
from uuid import uuid4

from durable_work import RUNS, STEPS, Talk, per_step
from harness import serve
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

TABLES = {
    "checkpoints": "checkpoint::text) + octet_length(metadata::text",
    "checkpoint_blobs": "coalesce(blob, '')",
    "checkpoint_writes": "blob",
}


class Count(TypedDict):
    number: int


class Chat(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


@asynccontextmanager
async def saver() -> AsyncIterator[AsyncPostgresSaver]:
    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(os.environ["DATABASE_OWNER_URL"], max_size=10, kwargs=options) as pool:
        made = AsyncPostgresSaver(pool)  # type: ignore[arg-type]
        await made.setup()
        yield made


def thread() -> dict[str, Any]:
    return {"configurable": {"thread_id": uuid4().hex}, "recursion_limit": 1000}


async def steps(runs: int, seconds: float) -> float:
    async def pay(state: Count) -> Count:
        return {"number": state["number"] + 1}

    graph = StateGraph(Count)
    graph.add_node("pay", pay)
    graph.add_edge(START, "pay")
    graph.add_conditional_edges("pay", lambda state: END if state["number"] >= STEPS else "pay")
    async with saver() as checkpointer:
        compiled = graph.compile(checkpointer=checkpointer)

        async def run() -> None:
            assert (await compiled.ainvoke({"number": 0}, thread(), durability="sync"))["number"] == STEPS

        return await per_step(run, runs, seconds)


def size(turns: int) -> Any:
    talk = Talk(turns)

    async def model(state: Chat) -> dict[str, Any]:
        turn = len(state["messages"]) // 2
        if turn == turns:
            return {"messages": [AIMessage(talk.answer)]}
        call = {"name": "search", "args": talk.args(turn), "id": f"call_{turn}"}
        return {"messages": [AIMessage(talk.said, tool_calls=[call])]}

    async def search(state: Chat) -> dict[str, Any]:
        call = state["messages"][-1].tool_calls[0]  # type: ignore[union-attr]
        return {"messages": [ToolMessage(talk.found(call["args"]["page"]), tool_call_id=call["id"])]}

    def after_model(state: Chat) -> str:
        return "search" if state["messages"][-1].tool_calls else END  # type: ignore[union-attr]

    async def scenario(seconds: float) -> float:
        graph = StateGraph(Chat)
        graph.add_node("model", model)
        graph.add_node("search", search)
        graph.add_edge(START, "model")
        graph.add_conditional_edges("model", after_model)
        graph.add_edge("search", "model")
        config = thread()
        async with saver() as checkpointer:
            compiled = graph.compile(checkpointer=checkpointer)
            state = await compiled.ainvoke({"messages": [HumanMessage(talk.prompt)]}, config)
            assert state["messages"][-1].content == talk.answer
            total = 0
            async with checkpointer.conn.connection() as connection:  # type: ignore[union-attr]
                for table, columns in TABLES.items():
                    query = f"SELECT coalesce(sum(octet_length({columns})), 0) AS n FROM {table} WHERE thread_id = %s"
                    found = await (await connection.execute(query, [config["configurable"]["thread_id"]])).fetchone()
                    total += int(found["n"])
        return total / talk.unique

    return scenario


async def sequence(seconds: float) -> float:
    return await steps(1, seconds)


async def concurrent(seconds: float) -> float:
    return await steps(RUNS, seconds)


if __name__ == "__main__":
    serve(
        {
            "sequence": sequence,
            "concurrent": concurrent,
            **{f"bytes_{turns}": size(turns) for turns in (10, 25, 50, 100)},
        }
    )
